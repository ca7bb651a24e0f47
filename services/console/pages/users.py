"""Accounts of the placement cell: invite people, change roles, deactivate accounts. Only for heads."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/users")

Head = Annotated[Visit, allowed(Role.HEAD)]
PAGE = 100
STAFF_ROLES = ("STAFF", "COORDINATOR", "HEAD")


@router.get("")
async def users(visit: Head, role: str = "", search: str = "", after: int = 0) -> Response:
    """Return a page of the accounts."""
    known = role if role in STAFF_ROLES else ""
    rows = await visit.api.get("/api/users", role=known, search=search.strip(), after=max(0, after), limit=PAGE)
    return visit.page(
        "users/list.html",
        rows=rows, role=known, search=search, roles_of_staff=STAFF_ROLES,
        first={"role": known, "search": search} if after else None,
        next={"role": known, "search": search, "after": rows[-1]["user_id"]} if len(rows) == PAGE else None,
    )  # fmt: skip


@router.get("/new")
async def new(visit: Head) -> Response:
    """Return the form for an invitation."""
    return visit.page("users/new.html", values={}, roles_of_staff=STAFF_ROLES)


@router.post("/new")
async def invite(visit: Head) -> Response:
    """Create the account, and show the link with which its owner sets a password."""
    form = await visit.form()
    body: dict[str, Any] = {name: form.text(name) for name in ("name", "email", "role") if form.text(name)}
    if form.text("department"):
        body["department"] = form.text("department")
    # Nobody knows this password. A repeated form must be the same request, so it is derived from the key.
    body["password"] = visit.sessions.derived(form.key)
    try:
        user = await visit.api.send("POST", "/api/users", key=form.key, json=body)
    except ApiProblem as refused:
        return visit.page("users/new.html", values=form.values, roles_of_staff=STAFF_ROLES, problem=refused)
    link = await visit.api.send("POST", f"/api/users/{user['user_id']}/password-link")
    return visit.page("users/link.html", account=user, link=link)


@router.get("/{user_id:int}")
async def user_page(visit: Head, user_id: int) -> Response:
    """Return one account."""
    return visit.page("users/one.html", account=await account_of(visit, user_id), roles_of_staff=STAFF_ROLES)


@router.post("/{user_id:int}")
async def revise(visit: Head, user_id: int) -> Response:
    """Change name, e-mail address, department or role."""
    form = await visit.form()
    account = await account_of(visit, user_id)
    given: dict[str, Any] = {name: form.text(name) for name in ("name", "email", "role")}
    given["department"] = form.text("department") or None
    changes = {name: value for name, value in given.items() if value != account[name]}
    if not changes:
        return visit.go(f"/console/users/{user_id}")
    try:
        await visit.api.send("PATCH", f"/api/users/{user_id}", key=form.key, json=changes)
    except ApiProblem as refused:
        shown = account | {name: value for name, value in given.items() if value is not None}
        return visit.page("users/one.html", account=shown, roles_of_staff=STAFF_ROLES, problem=refused)
    return visit.go(f"/console/users/{user_id}", done="user-revised")


@router.post("/{user_id:int}/activity")
async def set_activity(visit: Head, user_id: int) -> Response:
    """Deactivate or reactivate the account."""
    form = await visit.form()
    active = form.text("active") == "yes"
    path = f"/api/users/{user_id}/{'reactivate' if active else 'deactivate'}"
    try:
        await visit.api.send("POST", path, key=form.key)
    except ApiProblem as refused:
        account = await account_of(visit, user_id)
        return visit.page("users/one.html", account=account, roles_of_staff=STAFF_ROLES, problem=refused)
    return visit.go(f"/console/users/{user_id}", done="reactivated" if active else "deactivated")


@router.post("/{user_id:int}/password-link")
async def password_link(visit: Head, user_id: int) -> Response:
    """Create a password link, and show it once."""
    await visit.form()
    account = await account_of(visit, user_id)
    link = await visit.api.send("POST", f"/api/users/{user_id}/password-link")
    return visit.page("users/link.html", account=account, link=link)


async def account_of(visit: Visit, user_id: int) -> dict[str, Any]:
    """Return one account of the cell. Raises ``ApiProblem`` when there is none."""
    rows: list[dict[str, Any]] = await visit.api.get("/api/users", after=user_id - 1, limit=1)
    if not rows or rows[0]["user_id"] != user_id:
        raise ApiProblem(404, "There is no such account.")
    return rows[0]
