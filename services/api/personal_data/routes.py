"""Routes for personal data."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response

from chassis.eventstore.event_store import NewId
from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.users import Role
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, Anyone, Head, changing_access
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.fields import PathId
from services.api.http.long_lists import Write
from services.api.http.presentation import instant_text
from services.api.personal_data import openapi, page
from services.api.personal_data.erasure import Erasure, erase, rehearse
from services.api.personal_data.media_type import Format, preferred
from services.api.personal_data.own_data import RetentionTimes, retention_times, write_json, write_page

router = APIRouter(route_class=AccessFirstRoute, prefix="/api", tags=["personal data"])


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """The parts of a request for an erasure. FastAPI fills the fields."""

    request: Request
    ctx: ContextDep
    command_context: CommandContextDep
    dry_run: Annotated[bool, Query(description="only return what would be erased")] = False


ErasureRequestDep = Annotated[ErasureRequest, Depends()]


@router.get("/me/data", **openapi.OWN_DATA)
async def own_data(
    ctx: ContextDep,
    caller: Anyone,
    accept: Annotated[str, Header(description="`text/html` returns a page")] = "*/*",
    format_: Annotated[Format | None, Query(alias="format", description="overrides Accept")] = None,
) -> Response:
    """Return everything stored about the caller, as JSON or a page, including who looked at their record and when."""
    as_page = (format_ or preferred(accept)) == "html"
    produce = partial(_produce, caller.user_id, retention_times(ctx.settings), as_page)
    response = await ctx.long_lists.answer(produce, media_type="text/html" if as_page else "application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    if as_page:
        response.headers["Content-Security-Policy"] = page.POLICY
    return response


async def _produce(
    person_id: int, retention: RetentionTimes, as_page: bool, connection: Connection, write: Write
) -> None:
    await (write_page if as_page else write_json)(connection, write, person_id, retention)


@router.delete("/students/{student_id}/personal-data", **openapi.ERASE_STUDENT)
async def erase_student(student_id: PathId, erasure_request: ErasureRequestDep, caller: Head) -> Response:
    """Erase a student's name, e-mail address and roll number, and close the account, for good.

    Marks, registrations and decisions stay under the student's id. Files of exports that may show the student are
    deleted. Idempotent. With ``dry_run`` an Idempotency-Key is ignored.
    """
    return await _erase(erasure_request, caller, student_id, role=Role.STUDENT)


@router.delete("/users/{user_id}/personal-data", **openapi.ERASE_USER)
async def erase_user(user_id: PathId, erasure_request: ErasureRequestDep, caller: Head) -> Response:
    """Erase the personal data of any account, like that of a student. 409 for the caller and the last active head."""
    return await _erase(erasure_request, caller, user_id, role=None)


async def _erase(erasure_request: ErasureRequest, caller: Principal, person_id: int, *, role: Role | None) -> Response:
    ctx, command_context = erasure_request.ctx, erasure_request.command_context
    if erasure_request.dry_run:
        async with ctx.database.transaction() as connection:
            return json_response(_erasure_object(await rehearse(connection, person_id, caller.user_id, role=role)))

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        return CommandResult(
            _erasure_object(await erase(connection, person_id, command_context.cause(caller), new_id, role=role))
        )

    with changing_access(erasure_request.request):
        return await execute_command(ctx, caller, command_context, {}, handle)


def _erasure_object(erasure: Erasure) -> dict[str, object]:
    return {
        "person_id": erasure.person_id,
        "dry_run": erasure.dry_run,
        "already_erased": erasure.already_erased,
        "erased_at": instant_text(erasure.erased_at),
        "counts": erasure.counts,
        "message": erasure.message,
    }
