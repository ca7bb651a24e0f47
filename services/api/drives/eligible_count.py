"""How many students criteria would let in: for a form, while they are typed."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chassis.database import Connection
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.branches import branch_keys
from contracts.drives import Criteria
from contracts.users import Role
from services.api.access import AccessFirstRoute, allow
from services.api.context import Ctx
from services.api.drives import documents
from services.api.drives.forms import criteria_of, json_object

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/drives", tags=["drives"])

# One scan of students. A million of them take about 0.3 s.
COUNT = """
SELECT count(*) FILTER (WHERE meets_criteria(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent,
                                             s.active_backlogs, s.branch_key, s.batch_year, $1, $2, $3, $4, $5, $6)
                       ) AS eligible,
       count(*) AS students
  FROM students s WHERE s.active
"""


@router.post("/eligible-count", **documents.ELIGIBLE_COUNT)
async def eligible_count(
    request: Request, ctx: Ctx, who: Annotated[Principal, allow(Role.HEAD, Role.COORDINATOR)]
) -> Response:
    """Count the active students who meet these criteria now; an absent one is no limit. Writes nothing."""
    criteria = criteria_of(await json_object(request))
    async with ctx.database.connection() as connection:
        return json_response(await _counted(connection, criteria))


async def _counted(connection: Connection, criteria: Criteria) -> dict[str, int]:
    row = await connection.fetchrow(
        COUNT,
        criteria.min_cgpa,
        criteria.min_10th,
        criteria.min_12th,
        criteria.max_backlogs,
        branch_keys(criteria.branches),
        criteria.batch_years,
    )
    assert row is not None
    return dict(row)
