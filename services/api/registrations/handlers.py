"""Register students. The SQL function ``register`` decides and records in one statement."""

from uuid import UUID

import asyncpg
import orjson

from chassis.errors import DomainError, Forbidden, NotFound, RuleViolation
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Connection
from services.api.registrations import sql

REFUSALS: dict[str, tuple[type[DomainError], str]] = {
    "NO_DRIVE": (NotFound, "Drive not found"),
    "NOT_POSTED": (Forbidden, "Drive is not posted yet"),
    "CLOSED": (Forbidden, "Registration for this drive is closed."),
    "NOT_ELIGIBLE": (Forbidden, "You are not eligible for this drive"),
    "NOT_SELECTED": (Forbidden, "You are not selected for this drive"),
    "ALREADY_REGISTERED": (RuleViolation, "You are already registered for this drive"),
}


async def register(
    connection: Connection, drive_id: int, student_id: int, cause: Cause, event_id: UUID
) -> asyncpg.Record:
    """Register a student; return ``registration_id`` and ``registered_at``. Raises an error of ``REFUSALS``."""
    metadata = orjson.dumps(cause.metadata()).decode()
    row = await sql.register(connection, drive_id, student_id, event_id, metadata)
    if row["outcome"] != "REGISTERED":
        refusal, message = REFUSALS[row["outcome"]]
        raise refusal(message)
    return row
