"""The sub-filter over HTTP."""

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.users import Role
from services.api.access import allow
from services.api.context import Ctx
from services.api.drives import sql as drives
from services.api.fields import NO_NUL, Cgpa
from services.api.presentation import decimal_text
from services.api.subfilter import documents, sql

router = APIRouter(prefix="/api/subfilter", tags=["eligibility"])

MAX_INTEGER = 2**31 - 1


@router.get("/{drive_id}/apply", **documents.APPLY)
async def apply(
    drive_id: Annotated[int, Path(ge=1, le=MAX_INTEGER)],
    ctx: Ctx,
    _who: Annotated[Principal, allow(Role.COORDINATOR)],
    cgpa_min: Annotated[Cgpa | None, Query()] = None,
    cgpa_max: Annotated[Cgpa | None, Query()] = None,
    branch: Annotated[str | None, Query(min_length=1, max_length=100, pattern=NO_NUL)] = None,
    exclude_backlogs: Annotated[
        int | None, Query(ge=0, le=MAX_INTEGER, description="keep those with fewer active backlogs than this")
    ] = None,
) -> Response:
    """The eligible students of the drive who pass these as well, the best first; an absent limit is none."""
    sieve = sql.Sieve(cgpa_min, cgpa_max, branch, exclude_backlogs)
    async with ctx.database.transaction(isolation="repeatable_read", readonly=True) as connection:
        if await drives.get(connection, drive_id) is None:
            raise NotFound("Drive not found")
        sifted = await sql.sift(connection, drive_id, sieve)
    return json_response(
        {
            "total": sifted.total,
            "filtered_count": len(sifted.students),
            "students": [_student(row) for row in sifted.students],
            "unique_branches": sifted.branches,
        }
    )


def _student(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "user_id": row["user_id"],
        "name": row["name"],
        "email": row["email"],
        "department": row["department"],
        "roll_number": row["roll_number"],
        "branch": row["branch"],
        "cgpa": decimal_text(row["cgpa"]),
        "active_backlogs": row["active_backlogs"],
    }
