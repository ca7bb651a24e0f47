"""Routes for the dashboards' figures. All four cover drives created within ``days``, as of the views' last refresh."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field, WithJsonSchema

from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from contracts.message import MAX_INTEGER
from contracts.users import Role
from services.api.analytics import freshness, openapi, sql
from services.api.analytics.sql import Window
from services.api.context import Context, ContextDep
from services.api.http.access import allow
from services.api.http.presentation import instant_text

MAX_DAYS = 3650
MAX_DRIVES = 1000


class LegacyRoute(APIRoute):
    """A route that answers 400 for invalid parameters, as the existing frontend expects. Other routes answer 422."""

    invalid_status = 400


router = APIRouter(
    prefix="/api/analytics",
    tags=["analytics"],
    route_class=LegacyRoute,
    dependencies=[allow(Role.HEAD, Role.COORDINATOR)],
)

# An empty value, as an empty form field sends it, means every drive.
DriveId = Annotated[
    Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None,
    BeforeValidator(lambda value: value or None),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}, {"const": ""}]}),
    Query(),
]


# The existing frontend sends this parameter. It has no effect: the figures always come from the last refresh.
Force = Annotated[str | None, Query(max_length=10, description="accepted and ignored")]


class SeriesQuery:
    """The query parameters and conditional headers of all series."""

    def __init__(
        self,
        ctx: ContextDep,
        days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30,
        drive_id: DriveId = None,
        force: Force = None,
        if_none_match: Annotated[str | None, Header()] = None,
        if_modified_since: Annotated[str | None, Header()] = None,
    ) -> None:
        self._ctx: Context = ctx
        self._window = Window(days, drive_id, ctx.settings.zone)
        self._validators = (if_none_match, if_modified_since)

    async def answer(self, read: Callable[[Connection, datetime, Window], Awaitable[Any]]) -> Response:
        """Return the result of ``read`` for one moment of the views, or 304 when the caller's copy is current."""
        async with self._ctx.database.transaction(isolation="repeatable_read", readonly=True) as connection:
            moment = await sql.as_of(connection)
            headers = freshness.headers(moment, self._window.zone)
            if freshness.is_known(moment, self._window.zone, *self._validators):
                return Response(status_code=304, headers=headers)
            return json_response(await read(connection, moment, self._window), headers=headers)


SeriesQueryDep = Annotated[SeriesQuery, Depends()]


@router.get("/summary", **openapi.SUMMARY)
async def summary(query: SeriesQueryDep) -> Response:
    """Return the totals of the period. ``posted`` includes pending drives; ``as_of``: when the views were refreshed."""

    async def read(connection: Connection, moment: datetime, window: Window) -> dict[str, Any]:
        return {**await sql.summary(connection, moment, window), "as_of": instant_text(moment)}

    return await query.answer(read)


@router.get("/drives-over-time", **openapi.DRIVES_OVER_TIME)
async def drives_over_time(query: SeriesQueryDep) -> Response:
    """Return ``[{day, count}]``, oldest first, for days with drives only."""
    return await query.answer(_rows(sql.drives_over_time))


@router.get("/registrations-by-drive", **openapi.REGISTRATIONS_BY_DRIVE)
async def registrations_by_drive(
    query: SeriesQueryDep, limit: Annotated[int, Query(ge=1, le=MAX_DRIVES)] = 10
) -> Response:
    """Return ``[{drive_id, company_name, job_title, registrations}]``, highest count first, with zeros."""

    async def most_first(connection: Connection, moment: datetime, window: Window) -> list[asyncpg.Record]:
        return await sql.registrations(connection, moment, window, limit=limit)

    return await query.answer(_rows(most_first))


@router.get("/attendance-trend", **openapi.ATTENDANCE_TREND)
async def attendance_trend(query: SeriesQueryDep) -> Response:
    """Return ``[{day, percent}]``: present students as a share of all marked, by the day the drive was created."""
    return await query.answer(_rows(sql.attendance))


def _rows(
    read: Callable[[Connection, datetime, Window], Awaitable[list[asyncpg.Record]]],
) -> Callable[[Connection, datetime, Window], Awaitable[list[dict[str, Any]]]]:
    async def read_as_json(connection: Connection, moment: datetime, window: Window) -> list[dict[str, Any]]:
        return [dict(row) for row in await read(connection, moment, window)]

    return read_as_json
