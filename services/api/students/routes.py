"""Students over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from chassis.database import Connection
from chassis.errors import Forbidden, NotFound
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.users import Role
from services.api.access import AccessFirstRoute, allow
from services.api.commands import Ask, Committed, perform
from services.api.context import Ctx
from services.api.fields import MAX_INTEGER, NO_NUL
from services.api.personal_data.access_log import Accesses, Reading
from services.api.students import documents, handlers, sql
from services.api.students.decider import EnrolStudent, ReviseRecord
from services.api.students.forms import NewStudent, RevisedRecord
from services.api.students.view import student_object
from services.api.users import sql as users
from services.api.users.decider import Person
from services.api.users.passwords import hash_password
from services.api.users.routes import asked_by

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/students", tags=["students"])

# The details that a coordinator may correct as well.
FOR_COORDINATORS = frozenset({"roll_number"})

StudentId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Sought = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_NUL)]


@router.post("", **documents.ENROL)
async def enrol_student(body: NewStudent, ctx: Ctx, ask: Ask, who: Annotated[Principal, allow(Role.HEAD)]) -> Response:
    """Enrol one student. 409 when the e-mail address or the roll number is taken."""
    password_hash = await hash_password(body.password.get_secret_value()) if body.password else None

    async def work(connection: Connection, new_id: NewId) -> Committed:
        person = Person(1, body.name, body.email, body.roll_number)
        student_id = await users.add_person(connection, person)
        command = EnrolStudent(student_id, person, body.department, body.record())
        await handlers.enrol(connection, command, password_hash, ask.cause(who), new_id)
        return Committed(await _shown(connection, student_id), status=201, people=(student_id,))

    return await perform(ctx, who, ask, asked_by(body), work)


@router.get("", **documents.LIST)
async def list_students(
    ctx: Ctx,
    accesses: Accesses,
    who: Annotated[Principal, allow(Role.HEAD, Role.COORDINATOR, Role.STAFF)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INTEGER, description="the last student_id of the page before")] = 0,
    search: Sought = None,
    branch: Sought = None,
) -> Response:
    """Students by id, a page at a time: go on with ``after`` until a page is shorter than ``limit``."""
    async with ctx.database.connection() as connection:
        rows = await sql.list_page(connection, after=after, limit=limit, branch=branch, search=search)
    await accesses.of_page(who, Reading.STUDENTS_LISTED, [row["student_id"] for row in rows])
    return json_response([student_object(row) for row in rows])


@router.get("/{student_id:int}", **documents.GET)
async def get_student(
    student_id: StudentId,
    ctx: Ctx,
    accesses: Accesses,
    who: Annotated[Principal, allow(Role.HEAD, Role.COORDINATOR, Role.STAFF)],
) -> Response:
    """Return one student's record."""
    async with ctx.database.connection() as connection:
        row = await sql.get(connection, student_id)
    if row is None:
        raise NotFound("Student not found")
    await accesses.of_one(who, Reading.STUDENTS_LISTED, student_id)
    return json_response(student_object(row))


@router.patch("/{student_id:int}", **documents.REVISE)
async def revise_record(
    student_id: StudentId,
    body: RevisedRecord,
    ctx: Ctx,
    ask: Ask,
    accesses: Accesses,
    who: Annotated[Principal, allow(Role.HEAD, Role.COORDINATOR)],
) -> Response:
    """Correct a record; a head also name, e-mail address and department.

    409 when the roll number or address is taken, or another request changed the record at the same moment.
    """
    changes, details = body.changes()
    if details.keys() - FOR_COORDINATORS and who.role is not Role.HEAD:
        raise Forbidden("Only a head of the cell can correct names, e-mail addresses and departments.")

    async def work(connection: Connection, new_id: NewId) -> Committed:
        await handlers.revise(connection, ReviseRecord(student_id, changes), ask.cause(who), new_id, details=details)
        await accesses.in_command(connection, who, Reading.STUDENT_CORRECTED, student_id)
        return Committed(await _shown(connection, student_id), people=(student_id,))

    return await perform(ctx, who, ask, body.model_dump(mode="json", exclude_unset=True), work)


async def _shown(connection: Connection, student_id: int) -> dict[str, Any]:
    row = await sql.get(connection, student_id)
    assert row is not None
    return student_object(row)
