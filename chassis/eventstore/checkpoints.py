"""The checkpoints of subscriptions in Postgres (``es.subscription``): create, move, reset, measure."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from chassis.errors import Fenced, NotFound
from chassis.eventstore.event_store import Cursor
from chassis.postgres.database import Connection

# Limits on how long a replica that stopped responding inside a transaction can keep the checkpoint's row locked.
# Between the parse and the execution of a statement, Postgres does not count the session as idle. Then only the second
# limit applies.
MAX_IDLE_IN_TRANSACTION_S = 10
MAX_TRANSACTION_S = 60
# Counting stops here, so that measuring a subscription that is far behind stays cheap.
MAX_COUNTED = 10_000

# The newest event before which no other can still commit. No row for an empty log.
NEWEST = """
SELECT tx, position FROM es.event WHERE tx < es.log_horizon()
 ORDER BY es.event.tx DESC, position DESC LIMIT 1
"""
TAKE_OVER = f"""
WITH start AS (SELECT * FROM ({NEWEST}) newest WHERE $2)
INSERT INTO es.subscription AS s (name, tx, position, fence)
SELECT $1, coalesce((SELECT tx FROM start), '0'), coalesce((SELECT position FROM start), 0), 1
ON CONFLICT (name) DO UPDATE SET fence = s.fence + 1
RETURNING fence
"""  # noqa: S608 - both parts are constants
READ = """
SELECT tx::text::bigint AS tx, position, fence, failed_at,
       set_config('idle_in_transaction_session_timeout', $2, true), set_config('transaction_timeout', $3, true)
  FROM es.subscription WHERE name = $1
"""
# Compares the old position too: an earlier commit of unknown outcome may have moved the checkpoint since the read.
MOVE = """
UPDATE es.subscription SET tx = $3::bigint::text::xid8, position = $4, updated_at = clock_timestamp()
 WHERE name = $1 AND fence = $2 AND tx = $5::bigint::text::xid8 AND position = $6 AND failed_at IS NULL
"""
FAIL = """
UPDATE es.subscription SET failed_at = clock_timestamp(), error = $3
 WHERE name = $1 AND fence = $2 AND failed_at IS NULL
"""
EVENT_AT = "SELECT tx, position FROM es.event WHERE position = $1"
RESET = """
UPDATE es.subscription SET tx = $2, position = $3, fence = fence + 1, failed_at = NULL, error = NULL,
       updated_at = clock_timestamp()
 WHERE name = $1
"""
RETRY = "UPDATE es.subscription SET fence = fence + 1, failed_at = NULL, error = NULL WHERE name = $1"
# Index scans on event_tx_position that begin at the checkpoint and end after $1 rows.
MEASURE = """
SELECT s.name, s.position, s.updated_at, s.failed_at, s.error, behind.events AS events_behind,
       coalesce(oldest.age_s, 0) AS lag_s
  FROM es.subscription s
 CROSS JOIN LATERAL (
       SELECT count(*) AS events
         FROM (SELECT FROM es.event e WHERE (e.tx, e.position) > (s.tx, s.position)
                ORDER BY e.tx, e.position LIMIT $1) unread
       ) behind
  LEFT JOIN LATERAL (
       SELECT es.age_s(e.recorded_at) AS age_s
         FROM es.event e WHERE (e.tx, e.position) > (s.tx, s.position) ORDER BY e.tx, e.position LIMIT 1
       ) oldest ON true
 ORDER BY s.name
"""
HELD_LOCKS = """
SELECT (classid::bigint << 32) | objid::bigint AS lock FROM pg_locks
 WHERE locktype = 'advisory' AND objsubid = 1 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position of the last event that a subscription has handled. ``failed``: it cannot handle the next one."""

    cursor: Cursor
    failed: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """State of a subscription. ``events_behind``: at most ``MAX_COUNTED``; ``lag_s``: the age of the oldest of them."""

    name: str
    position: int
    updated_at: datetime
    failed_at: datetime | None
    error: str | None
    events_behind: int
    lag_s: float


def lock_of(name: str) -> int:
    """Return the key of the advisory lock that the active replica of the subscription holds."""
    return int.from_bytes(blake2b(f"placewire.subscription.{name}".encode(), digest_size=8).digest(), signed=True)


async def take_over(connection: Connection, name: str, *, from_now: bool) -> int:
    """Invalidate the fences of all other readers of the subscription ``name``, and return a new one.

    Creates a missing checkpoint: at the newest event if ``from_now`` is true, else before the first event.
    """
    fence: int = await connection.fetchval(TAKE_OVER, name, from_now)
    return fence


async def read(connection: Connection, name: str, fence: int) -> Checkpoint:
    """Return the checkpoint of the subscription. Raises ``Fenced`` if ``fence`` is no longer valid.

    Limits how long the caller's transaction may take or be idle from now on.
    """
    row = await connection.fetchrow(READ, name, f"{MAX_IDLE_IN_TRANSACTION_S}s", f"{MAX_TRANSACTION_S}s")
    if row is None or row["fence"] != fence:
        raise Fenced(f"another reader has taken over the subscription {name}, or it was reset")
    return Checkpoint(Cursor(row["tx"], row["position"]), row["failed_at"] is not None)


async def move(connection: Connection, name: str, fence: int, *, old: Cursor, new: Cursor) -> None:
    """Move the checkpoint in the caller's transaction, and lock it until the transaction ends.

    Raises ``Fenced`` if ``fence`` is no longer valid, or the checkpoint is not at ``old``.
    """
    status = await connection.execute(MOVE, name, fence, new.tx, new.position, old.tx, old.position)
    _require_changed(status, name)


async def fail(connection: Connection, name: str, fence: int, error: str) -> None:
    """Record why the subscription has stopped. Raises ``Fenced`` if ``fence`` is no longer valid."""
    _require_changed(await connection.execute(FAIL, name, fence, error), name)


async def reset_to_beginning(connection: Connection, name: str) -> None:
    """Make the subscription handle every event once more. Raises ``NotFound`` for an unknown name."""
    _require_known(await connection.execute(RESET, name, 0, 0), name)


async def reset_to_now(connection: Connection, name: str) -> None:
    """Make the subscription skip all events recorded so far. Raises ``NotFound`` for an unknown name."""
    newest = await connection.fetchrow(NEWEST)
    tx, position = (newest["tx"], newest["position"]) if newest else (0, 0)
    _require_known(await connection.execute(RESET, name, tx, position), name)


async def reset_to_position(connection: Connection, name: str, position: int) -> None:
    """Make the subscription continue after the event at ``position``, in the order of the log.

    Raises ``NotFound`` for an unknown subscription, and if there is no event at ``position``.
    """
    event = await connection.fetchrow(EVENT_AT, position)
    if event is None:
        raise NotFound(f"there is no event at position {position}")
    _require_known(await connection.execute(RESET, name, event["tx"], event["position"]), name)


async def retry(connection: Connection, name: str) -> None:
    """Make a failed subscription try the same event again. Raises ``NotFound`` for an unknown name."""
    _require_known(await connection.execute(RETRY, name), name)


async def measure(connection: Connection) -> list[Measured]:
    """Return the state of each subscription, by name."""
    return [Measured(**row) for row in await connection.fetch(MEASURE, MAX_COUNTED)]


async def active(connection: Connection, names: list[str]) -> set[str]:
    """Return those of ``names`` that a running replica reads at this moment."""
    held = {row["lock"] for row in await connection.fetch(HELD_LOCKS)}
    return {name for name in names if lock_of(name) in held}


def _require_changed(status: str, name: str) -> None:
    if status != "UPDATE 1":
        raise Fenced(f"another reader has taken over the subscription {name}, or it was reset")


def _require_known(status: str, name: str) -> None:
    if status != "UPDATE 1":
        raise NotFound(f"there is no subscription {name}: `placewire subscriptions list` lists all")
