"""The job queue in Postgres: claim, renew, finish and release jobs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from chassis.errors import Fenced, Unavailable
from chassis.eventstore.event_store import Addition, arrays
from chassis.postgres.database import Connection
from contracts.catalogue import read_event
from contracts.jobs import Channel, Job, Service, State
from contracts.message import Event

COLUMNS = """id, kind, subject, state, channel, progress, result, error, attempts, dead_lettered, requested_by,
       queued_at, started_at, finished_at"""

READ = f"SELECT {COLUMNS} FROM es.job WHERE id = $1"  # noqa: S608
CLAIM = "SELECT * FROM es.claim($1, $2, $3, $4, $5, $6, $7)"
RENEW = "UPDATE es.job SET lease_until = clock_timestamp() + $3 WHERE id = $1 AND fence = $2 AND finished_at IS NULL"
UPDATE_PROGRESS = "UPDATE es.job SET progress = $3 WHERE id = $1 AND fence = $2 AND finished_at IS NULL"
IS_HELD = "SELECT EXISTS (SELECT FROM es.job WHERE id = $1 AND fence = $2 AND finished_at IS NULL)"
# Changes no value. Its commit waits for the disk, which makes the earlier commit of the claim durable too.
CONFIRM = "UPDATE es.job SET owner = owner WHERE id = $1 AND fence = $2 AND finished_at IS NULL"
# The worker that runs the job notices at its next renewal or progress update, and can no longer finish it.
CANCEL = """
UPDATE es.job SET state = 'cancelled', finished_at = clock_timestamp(), lease_until = '-infinity'
 WHERE id = $1 AND finished_at IS NULL
"""
# Skips jobs that another worker holds and rows that another transaction has locked, so no deadlock can occur.
ABSORB = """
WITH waiting AS MATERIALIZED (
    SELECT id FROM es.job WHERE id = ANY ($1) AND finished_at IS NULL AND lease_until < clock_timestamp()
     ORDER BY seq FOR UPDATE SKIP LOCKED
)
UPDATE es.job j SET state = 'succeeded', result = $2, finished_at = clock_timestamp(), lease_until = '-infinity'
  FROM waiting w WHERE j.id = w.id RETURNING j.id
"""
FINISH = "SELECT es.finish($1, $2, $3, $4, $5, $6, $7)"
SUCCEED = "SELECT es.succeed($1, $2, $3, $4, $5, $6, $7, $8)"
# A worker that shuts down releases its jobs; no attempt is spent. Safe to repeat: only a running job is changed.
RELEASE = """
UPDATE es.job SET state = 'queued', attempts = attempts - 1, lease_until = '-infinity', owner = NULL,
       fence = NULL
 WHERE id = $1 AND fence = $2 AND state = 'running'
"""
BEGIN_ATTEMPT = """
UPDATE es.job SET attempts = attempts + 1 WHERE id = $1 AND fence = $2 AND finished_at IS NULL RETURNING attempts
"""
# Takes back the attempt of a claim that was lost without failing, once another worker has claimed the job. If a
# server crash erased the lost claim, its attempt was never counted: then attempts is at most $3.
RETURN_ATTEMPT = """
UPDATE es.job SET attempts = attempts - 1
 WHERE id = $1 AND fence IS DISTINCT FROM $2 AND finished_at IS NULL AND attempts > $3
RETURNING es.log_xid()::text
"""
# Null: the status is gone, because the transaction ended long ago or on another server (es.log_xid_status).
STATUS_OF_TRANSACTION = "SELECT es.log_xid_status($1::text::xid8)"
# A claim counts an attempt. For a job without attempts left this takes it back, because the job was not run.
LIMIT_ATTEMPTS = "UPDATE es.job SET attempts = least(attempts, $3) WHERE id = $1 AND fence = $2 AND finished_at IS NULL"
END_OF = """
SELECT state, error FROM es.job
 WHERE id = $1 AND fence = $2 AND finished_at IS NOT NULL AND state IN ('succeeded', 'failed')
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do a job, until the lease runs out.

    ``fence``: a random token. No other claim ever gets it, even if Postgres crashes and forgets this claim.
    ``older_ids``: queued jobs of the same subject that this job replaces. They end when it ends.
    """

    id: UUID
    fence: UUID
    attempts: int
    kind: str
    subject: str
    requested_by: int | None
    queued_at: datetime
    older_ids: Sequence[UUID]
    stream_version: int
    type: str
    data: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def event(self) -> Event:
        """Return the event that requested the job.

        Raises ``UnknownEvent`` or ``pydantic.ValidationError`` for an event of a newer release. Then this job fails;
        other jobs are not affected.
        """
        return read_event(self.type, self.data)


async def read(connection: Connection, job_id: UUID) -> Job | None:
    row = await connection.fetchrow(READ, job_id)
    return job_of(row) if row else None


def job_of(row: asyncpg.Record) -> Job:
    return Job.model_validate(dict(row))


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """Which jobs a worker claims, and for how long.

    ``owner``: the worker's name. ``lease``: how long a claim lasts. ``batchable``: event types whose jobs
    share a slot, up to ``batch_size`` of them. ``newest_wins``: event types of which only the newest queued job of a
    subject is claimed.
    """

    service: Service
    owner: str
    lease: timedelta
    batchable: frozenset[str] = frozenset()
    batch_size: int = 1
    newest_wins: frozenset[str] = frozenset()


async def claim(connection: Connection, policy: ClaimPolicy, slots: int) -> list[Claim]:
    """Claim queued jobs, and running ones whose lease expired: one for each slot, or several batchable ones.

    The oldest come first, but jobs whose subject has another running job come last. Takes one round trip. Call it
    outside a transaction, so that it can commit without waiting for the disk.
    """
    batches = (list(policy.batchable), policy.batch_size, list(policy.newest_wins))
    rows = await connection.fetch(CLAIM, policy.service, slots, policy.owner, policy.lease, *batches)
    return [_claim(row) for row in rows]


def _claim(row: asyncpg.Record) -> Claim:
    return Claim(
        id=row["id"],
        fence=row["fence"],
        attempts=row["attempts"],
        kind=row["kind"],
        subject=row["subject"],
        requested_by=row["requested_by"],
        queued_at=row["queued_at"],
        older_ids=row["older_ids"],
        stream_version=row["stream_version"],
        type=row["type"],
        data=row["data"],
        metadata=row["metadata"],
    )


async def renew(connection: Connection, claimed: Claim, lease: timedelta) -> bool:
    """Renew the lease of ``claimed``. Return false when the worker no longer holds the job."""
    return (await connection.execute(RENEW, claimed.id, claimed.fence, lease)).endswith(" 1")


async def update_progress(connection: Connection, claimed: Claim, progress: dict[str, Any]) -> bool:
    """Store ``progress``. Return false when the worker no longer holds the job."""
    body = orjson.dumps(progress).decode()
    return (await connection.execute(UPDATE_PROGRESS, claimed.id, claimed.fence, body)).endswith(" 1")


async def is_held(connection: Connection, claimed: Claim) -> bool:
    return bool(await connection.fetchval(IS_HELD, claimed.id, claimed.fence))


async def confirm(connection: Connection, claimed: Claim) -> bool:
    """Make the claim durable, so that no crash can restore an earlier claim. Return false when the job is lost.

    Call it before undoing effects outside of the database that belong to an earlier claim.
    """
    return (await connection.execute(CONFIRM, claimed.id, claimed.fence)).endswith(" 1")


async def cancel(connection: Connection, job_id: UUID) -> bool:
    """Cancel a job that is queued or running. Return false when it has ended already."""
    return (await connection.execute(CANCEL, job_id)).endswith(" 1")


async def finish(
    connection: Connection,
    claimed: Claim,
    channel: Channel,
    state: State,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
    dead_lettered: bool = False,
) -> None:
    """End ``claimed`` in the caller's transaction. Raises ``Fenced`` when another worker holds it."""
    body = orjson.dumps(result).decode() if result is not None else None
    with _fenced():
        await connection.execute(FINISH, claimed.id, claimed.fence, channel, state, body, error, dead_lettered)


async def succeed(
    connection: Connection, results: Sequence[tuple[Claim, Channel, dict[str, Any]]], additions: Sequence[Addition]
) -> None:
    """Append ``additions`` and end all of these jobs as succeeded, each with its result, in one round trip.

    Raises ``Fenced`` when another worker holds one of them, and the errors of ``event_store.append``.
    """
    ids, fences = [claimed.id for claimed, _, _ in results], [claimed.fence for claimed, _, _ in results]
    channels = [channel for _, channel, _ in results]
    bodies = [orjson.dumps(result).decode() for _, _, result in results]
    with _fenced():
        await connection.execute(SUCCEED, ids, fences, channels, bodies, *arrays(additions))


@contextmanager
def _fenced() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as problem:
        if problem.sqlstate == "ES002":
            raise Fenced(str(problem)) from problem
        raise


async def absorb(connection: Connection, ids: Sequence[UUID], result: dict[str, Any]) -> list[UUID]:
    """End the jobs of ``ids`` that no worker holds, because another job replaces them. Return their ids."""
    return [row["id"] for row in await connection.fetch(ABSORB, list(ids), orjson.dumps(result).decode())]


async def release(connection: Connection, claimed: Claim) -> None:
    """Return ``claimed`` to the queue without spending an attempt."""
    await connection.execute(RELEASE, claimed.id, claimed.fence)


async def begin_attempt(connection: Connection, claimed: Claim) -> int | None:
    """Count one more attempt of ``claimed``. Return the number of attempts; ``None`` when the job is lost."""
    begun: int | None = await connection.fetchval(BEGIN_ATTEMPT, claimed.id, claimed.fence)
    return begun


async def return_attempt(connection: Connection, claimed: Claim) -> str | None:
    """Take back the attempt of ``claimed``, if it was counted and another worker has claimed the job since.

    Not safe to repeat. Return the id of the caller's transaction; ``None`` when nothing was taken back.
    """
    transaction_id: str | None = await connection.fetchval(RETURN_ATTEMPT, claimed.id, claimed.fence, claimed.attempts)
    return transaction_id


async def has_committed(connection: Connection, transaction_id: str) -> bool:
    """Return whether a transaction committed; true also if its status is gone. Raises ``Unavailable`` until it ends."""
    status = await connection.fetchval(STATUS_OF_TRANSACTION, transaction_id)
    if status == "in progress":
        raise Unavailable("an earlier transaction has not ended")
    return bool(status != "aborted")


async def limit_attempts(connection: Connection, claimed: Claim, limit: int) -> None:
    """Record at most ``limit`` attempts of ``claimed``."""
    await connection.execute(LIMIT_ATTEMPTS, claimed.id, claimed.fence, limit)


async def end_of(connection: Connection, claimed: Claim) -> tuple[State, str | None] | None:
    """Return the state in which ``claimed`` ended under its fence, and its error; ``None`` if it did not end."""
    row = await connection.fetchrow(END_OF, claimed.id, claimed.fence)
    return (State(row["state"]), row["error"]) if row else None
