"""Job domains over HTTP."""

from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from chassis.database import Connection
from chassis.errors import Refused
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.users import Role
from services.api.access import ANYONE, allow
from services.api.commands import Asking, Committed, asking, perform
from services.api.context import Ctx
from services.api.domains import sql

router = APIRouter(prefix="/api/job-domains", tags=["job domains"])


class NewDomain(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    domain_name: str = Field(min_length=1, max_length=100)


@router.get("")
async def list_domains(ctx: Ctx, _who: Annotated[Principal, allow(*ANYONE)]) -> Response:
    """Every job domain, by name."""
    async with ctx.database.connection() as connection:
        rows = await sql.list_all(connection)
    return json_response([dict(row) for row in rows])


@router.post("", status_code=201)
async def add_domain(
    body: NewDomain, ctx: Ctx, ask: Annotated[Asking, Depends(asking)], who: Annotated[Principal, allow(Role.HEAD)]
) -> Response:
    """Add a job domain. 409 when the name is taken."""

    async def work(connection: Connection, _new_id: NewId) -> Committed:
        try:
            row = await sql.add(connection, body.domain_name)
        except asyncpg.UniqueViolationError as error:
            raise Refused(f"There is a job domain {body.domain_name!r} already.") from error
        return Committed(dict(row), status=201)

    return await perform(ctx, who, ask, body.model_dump(), work)
