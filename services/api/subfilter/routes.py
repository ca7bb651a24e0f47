"""The route of the sub-filter."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.postgres.database import Connection
from contracts.message import MAX_INTEGER
from services.api.context import ContextDep
from services.api.drives import sql as drives
from services.api.http.access import AccessFirstRoute, Coordinator
from services.api.http.fields import NO_NUL, Cgpa, PathId
from services.api.http.long_lists import Write
from services.api.personal_data.access_log import Accesses, Reading
from services.api.subfilter import openapi, sql

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/subfilter", tags=["eligibility"])


@router.get("/{drive_id}/apply", **openapi.APPLY)
async def apply(
    drive_id: PathId,
    ctx: ContextDep,
    accesses: Accesses,
    caller: Coordinator,
    cgpa_min: Annotated[Cgpa | None, Query()] = None,
    cgpa_max: Annotated[Cgpa | None, Query()] = None,
    branch: Annotated[str | None, Query(min_length=1, max_length=100, pattern=NO_NUL)] = None,
    exclude_backlogs: Annotated[
        int | None, Query(ge=0, le=MAX_INTEGER, description="only students with fewer active backlogs than this")
    ] = None,
) -> Response:
    """Return the eligible students of the drive who also pass these limits, highest CGPA first."""
    student_filter = sql.StudentFilter(cgpa_min, cgpa_max, branch, exclude_backlogs)

    async def produce(connection: Connection, write: Write) -> None:
        if await drives.get(connection, drive_id) is None:
            raise NotFound("Drive not found")
        await sql.write_filtered(connection, write, drive_id, student_filter)

    await accesses.of_many(caller, Reading.ELIGIBLE_FILTERED)
    return await ctx.long_lists.answer(produce)
