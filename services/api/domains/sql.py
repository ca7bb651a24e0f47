"""Statements about job domains, which are reference data without events."""

import asyncpg

from chassis.postgres.database import Connection
from contracts.message import MAX_INTEGER

LIST = "SELECT domain_id, domain_name FROM job_domains ORDER BY domain_name"
EXISTS = "SELECT EXISTS (SELECT FROM job_domains WHERE domain_id = $1)"
ADD = "INSERT INTO job_domains (domain_name) VALUES ($1) RETURNING domain_id, domain_name"
RENAME = "UPDATE job_domains SET domain_name = $2 WHERE domain_id = $1 RETURNING domain_id, domain_name"


async def list_all(connection: Connection) -> list[asyncpg.Record]:
    """Return every domain, by name."""
    return await connection.fetch(LIST)


async def exists(connection: Connection, domain_id: int) -> bool:
    return 0 < domain_id <= MAX_INTEGER and bool(await connection.fetchval(EXISTS, domain_id))


async def add(connection: Connection, name: str) -> asyncpg.Record:
    """Add a domain. Raises ``asyncpg.UniqueViolationError`` when the name is taken."""
    row = await connection.fetchrow(ADD, name)
    assert row is not None
    return row


async def rename(connection: Connection, domain_id: int, name: str) -> asyncpg.Record | None:
    """Rename a domain. ``None``: there is none. Raises ``asyncpg.UniqueViolationError`` when the name is taken."""
    return await connection.fetchrow(RENAME, domain_id, name)
