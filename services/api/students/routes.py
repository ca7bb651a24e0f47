"""Routes for students."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from chassis.errors import Forbidden, NotFound
from chassis.eventstore.event_store import NewId
from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from contracts.message import MAX_INTEGER
from contracts.users import Role
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, CellMember, Head, Organizer
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.fields import NO_NUL, PathId
from services.api.personal_data.access_log import Accesses, Reading
from services.api.students import handlers, openapi, sql
from services.api.students.decider import EnrolStudent, ReviseRecord
from services.api.students.forms import NewStudent, RevisedRecord
from services.api.students.view import access_object, registration_object, student_object
from services.api.users import sql as users
from services.api.users.decider import Person
from services.api.users.passwords import hash_password
from services.api.users.routes import request_content

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/students", tags=["students"])

# The details that a coordinator may correct too.
FOR_COORDINATORS = frozenset({"roll_number"})

SearchText = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_NUL)]


@router.post("", **openapi.ENROL)
async def enrol_student(
    body: NewStudent, ctx: ContextDep, command_context: CommandContextDep, caller: Head
) -> Response:
    """Enrol one student. 409 when the e-mail address or the roll number is taken."""
    password_hash = await hash_password(body.password.get_secret_value()) if body.password else None

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        person = Person(1, body.name, body.email, body.roll_number)
        student_id = await users.add_person(connection, person)
        command = EnrolStudent(student_id, person, body.department, body.record())
        await handlers.enrol(connection, command, password_hash, command_context.cause(caller), new_id)
        return CommandResult(await _student_object(connection, student_id), status=201, people=(student_id,))

    return await execute_command(ctx, caller, command_context, request_content(body), handle)


@router.get("", **openapi.LIST)
async def list_students(
    ctx: ContextDep,
    accesses: Accesses,
    caller: CellMember,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INTEGER, description="the last student_id of the previous page")] = 0,
    search: SearchText = None,
    branch: SearchText = None,
) -> Response:
    """Return a page of students by id. Continue with ``after`` until a page is shorter than ``limit``."""
    async with ctx.database.connection() as connection:
        rows = await sql.list_page(connection, after=after, limit=limit, branch=branch, search=search)
    await accesses.of_page(caller, Reading.STUDENTS_LISTED, [row["student_id"] for row in rows])
    return json_response([student_object(row) for row in rows])


@router.get("/{student_id:int}", **openapi.GET)
async def get_student(
    student_id: PathId,
    ctx: ContextDep,
    accesses: Accesses,
    caller: CellMember,
) -> Response:
    """Return one student's record."""
    async with ctx.database.connection() as connection:
        row = await sql.get(connection, student_id)
    if row is None:
        raise NotFound("Student not found")
    await accesses.of_one(caller, Reading.STUDENT_VIEWED, student_id)
    return json_response(student_object(row))


@router.get("/{student_id:int}/registrations", **openapi.REGISTRATIONS)
async def list_registrations(student_id: PathId, ctx: ContextDep, accesses: Accesses, caller: CellMember) -> Response:
    """Return the drives that one student registered for, with their attendance, newest first."""
    async with ctx.database.connection() as connection:
        await _require_student(connection, student_id)
        rows = await sql.registrations(connection, student_id)
    await accesses.of_one(caller, Reading.STUDENT_VIEWED, student_id)
    return json_response([registration_object(row) for row in rows])


@router.get("/{student_id:int}/accesses", **openapi.ACCESSES)
async def list_accesses(
    student_id: PathId,
    ctx: ContextDep,
    caller: Head,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Return who was shown the record of one student, newest first. Long lists are not included."""
    async with ctx.database.connection() as connection:
        await _require_student(connection, student_id)
        rows = await sql.accesses(connection, student_id, ctx.settings.access_log_kept, limit=limit)
    return json_response([access_object(row) for row in rows])


@router.patch("/{student_id:int}", **openapi.REVISE)
async def revise_record(
    student_id: PathId,
    body: RevisedRecord,
    ctx: ContextDep,
    command_context: CommandContextDep,
    accesses: Accesses,
    caller: Organizer,
) -> Response:
    """Correct a record. A head may also correct name, e-mail address and department.

    409 when the roll number or address is taken, or another request changed the record at the same moment.
    """
    changes, details = body.changes()
    if details.keys() - FOR_COORDINATORS and caller.role is not Role.HEAD:
        raise Forbidden("Only a head of the cell can correct names, e-mail addresses and departments.")

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        await handlers.revise(
            connection, ReviseRecord(student_id, changes), command_context.cause(caller), new_id, details=details
        )
        await accesses.in_command(connection, caller, Reading.STUDENT_CORRECTED, student_id)
        return CommandResult(await _student_object(connection, student_id), people=(student_id,))

    return await execute_command(ctx, caller, command_context, body.model_dump(mode="json", exclude_unset=True), handle)


async def _require_student(connection: Connection, student_id: int) -> None:
    """Raise ``NotFound`` when there is no such student."""
    if not await sql.exists(connection, student_id):
        raise NotFound("Student not found")


async def _student_object(connection: Connection, student_id: int) -> dict[str, Any]:
    row = await sql.get(connection, student_id)
    assert row is not None
    return student_object(row)
