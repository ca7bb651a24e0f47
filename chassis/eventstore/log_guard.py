"""Refuse a log that has moved to another server, until `placewire adopt-log` has been run."""

from typing import TYPE_CHECKING

import asyncpg

from chassis.errors import LogNotAdopted

if TYPE_CHECKING:
    from chassis.postgres.database import Connection

REASON = "SELECT es.adoption_reason()"
# The codes of es.adoption_reason (migrations/functions/es.adoption_reason.sql).
REASONS = {
    "NO_EPOCH": "it has no epoch: the schema was restored without its rows",
    "OTHER_SERVER": "its rows come from another server",
    "AHEAD_OF_SERVER": "recorded transaction ids are above those of this server",
    "OFFSET_DIFFERS": "es.log_offset() is not the offset of its epoch",
}


async def adoption_reason(connection: "Connection") -> str | None:
    """Return the code of the reason why the log must be adopted. Return ``None`` when it need not be adopted.

    Returns ``None`` also for a database that was never migrated: it has no log to protect.
    """
    try:
        reason: str | None = await connection.fetchval(REASON)
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError):
        return None
    return reason


async def require_adopted(connection: "Connection") -> None:
    """Raise ``LogNotAdopted`` when `placewire adopt-log` must be run before this database is used."""
    if (reason := await adoption_reason(connection)) is not None:
        raise LogNotAdopted(f"the log must be adopted first, {REASONS[reason]}: run `placewire adopt-log`")
