"""Erase a person's data for good: first what would be erased, then the name to confirm it. Only for heads."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.pages.users import account_of
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console")

Head = Annotated[Visit, allowed(Role.HEAD)]
NOT_THE_NAME = "Type the name exactly as it is written above."


@router.get("/students/{student_id:int}/erase")
async def student_preview(visit: Head, student_id: int) -> Response:
    """Return what the erasure of a student would delete."""
    return await _preview(visit, "students", student_id, None)


@router.post("/students/{student_id:int}/erase")
async def erase_student(visit: Head, student_id: int) -> Response:
    """Erase the student's personal data when their name was typed."""
    return await _erased(visit, "students", student_id)


@router.get("/users/{user_id:int}/erase")
async def user_preview(visit: Head, user_id: int) -> Response:
    """Return what the erasure of an account would delete."""
    return await _preview(visit, "users", user_id, None)


@router.post("/users/{user_id:int}/erase")
async def erase_user(visit: Head, user_id: int) -> Response:
    """Erase the personal data of an account when its owner's name was typed."""
    return await _erased(visit, "users", user_id)


async def _erased(visit: Visit, kind: str, person_id: int) -> Response:
    form = await visit.form()
    person = await _person(visit, kind, person_id)
    if form.text("name") != person["name"].strip():
        problem = ApiProblem(422, NOT_THE_NAME, [{"field": "name", "message": NOT_THE_NAME}])
        return await _preview(visit, kind, person_id, problem)
    try:
        await visit.api.send("DELETE", f"/api/{kind}/{person_id}/personal-data", key=form.key)
    except ApiProblem as refused:
        return await _preview(visit, kind, person_id, refused)
    return visit.go(f"/console/{kind}", done="erased")


async def _preview(visit: Visit, kind: str, person_id: int, problem: ApiProblem | None) -> Response:
    person = await _person(visit, kind, person_id)
    erasure, refused = None, problem
    try:
        erasure = await visit.api.send("DELETE", f"/api/{kind}/{person_id}/personal-data", params={"dry_run": "true"})
    except ApiProblem as error:  # one's own account, or the last head
        refused = error
    return visit.page(
        "erasure/erase.html", person=person, kind=kind, person_id=person_id, erasure=erasure, problem=refused
    )


async def _person(visit: Visit, kind: str, person_id: int) -> dict[str, Any]:
    if kind == "users":
        return await account_of(visit, person_id)
    student: dict[str, Any] = await visit.api.get(f"/api/students/{person_id}")
    return student
