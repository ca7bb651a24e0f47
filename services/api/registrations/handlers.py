"""Register students. The SQL function ``register`` decides and records in one statement."""

from uuid import UUID

import asyncpg
import orjson

from chassis.errors import DomainError, Forbidden, NotFound, RuleViolation
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Connection
from services.api.registrations import sql

REFUSALS: dict[str, tuple[type[DomainError], str]] = {
    "no drive": (NotFound, "Drive not found"),
    "not posted": (Forbidden, "Drive is not posted yet"),
    "closed": (Forbidden, "Registration for this drive is closed."),
    "not eligible": (Forbidden, "You are not eligible for this drive"),
    "not selected": (Forbidden, "You are not selected for this drive"),
    "registered already": (RuleViolation, "You are already registered for this drive"),
}


async def register(
    connection: Connection, drive_id: int, student_id: int, cause: Cause, event_id: UUID
) -> asyncpg.Record:
    """Register a student; return ``registration_id`` and ``registered_at``. Raises an error of ``REFUSALS``."""
    metadata = orjson.dumps(cause.metadata()).decode()
    row = await sql.register(connection, drive_id, student_id, event_id, metadata)
    if row["outcome"] != "registered":
        refusal, message = REFUSALS[row["outcome"]]
        raise refusal(message)
    return row
