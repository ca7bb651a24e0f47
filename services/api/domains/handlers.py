"""One function per command on job domains. The caller owns the transaction."""

from typing import Any

import asyncpg

from chassis.errors import NotFound, RuleViolation
from chassis.postgres.database import Connection
from services.api.domains import sql
from services.api.http.polled_lists import notify_changed


async def add(connection: Connection, name: str) -> dict[str, Any]:
    """Add a domain and return it. Raises ``RuleViolation`` when the name is taken."""
    try:
        row = await sql.add(connection, name)
    except asyncpg.UniqueViolationError as error:
        raise _taken(name) from error
    await notify_changed(connection)
    return dict(row)


async def rename(connection: Connection, domain_id: int, name: str) -> dict[str, Any]:
    """Rename the domain and return it. Raises ``NotFound``, and ``RuleViolation`` when the name is taken."""
    try:
        row = await sql.rename(connection, domain_id, name)
    except asyncpg.UniqueViolationError as error:
        raise _taken(name) from error
    if row is None:
        raise NotFound("There is no such job domain.")
    await notify_changed(connection)
    return dict(row)


def _taken(name: str) -> RuleViolation:
    return RuleViolation(f"There is a job domain {name!r} already.")
