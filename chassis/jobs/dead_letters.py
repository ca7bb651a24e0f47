"""Dead letters: list failed jobs, copy them to the dead-letter topic, redrive or discard them.

A redriven job is queued like a new one, with a new outbox row. It loses its fencing token, so that its earlier worker
cannot finish it. ``es.dead_letter_action`` records who redrove or discarded a job, and the job's error. Plans: the list
reads the index ``job_dead_lettered`` backward, a redrive reads it forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from chassis.errors import NotFound, PageGone, RuleViolation
from chassis.jobs import queue
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection
from contracts import topics
from contracts.jobs import TOPIC_OF, Kind, Service

COPY = "INSERT INTO es.outbox (lane, topic, key, event_id, extra) VALUES ($1, $2, $3, $4, $5)"

LETTER = """
SELECT j.id, j.seq, j.service, j.kind, j.subject, j.state, j.dead_lettered, j.error, j.attempts, j.requested_by,
       j.queued_at, j.started_at, j.finished_at, e.metadata ->> 'correlation_id' AS correlation_id,
       e.recorded_at{event}
  FROM es.job j LEFT JOIN es.event e ON e.event_id = j.id
"""
# The text that errors of one cause share: ids, numbers and quoted names differ from job to job.
ERROR_TEMPLATE = (
    """regexp_replace(coalesce(error, ''), '[0-9a-f]{8}-[0-9a-f-]{27}|\\d+|''[^'']*''|"[^"]*"', '…', 'g')"""
)
# Without the events, since a page of large events would be slow to read.
LIST = f"""{LETTER.format(event="")}
 WHERE j.dead_lettered AND ($1::text IS NULL OR j.kind = $1) AND ($2::text IS NULL OR j.service = $2)
   AND ($3::uuid IS NULL OR j.seq < (SELECT seq FROM es.job WHERE id = $3))
   AND ($5::text IS NULL OR {ERROR_TEMPLATE} = $5)
 ORDER BY j.seq DESC LIMIT $4
"""  # noqa: S608
# Reads every dead letter.
GROUPS = f"""
SELECT service, kind, {ERROR_TEMPLATE} AS error_template, count(*) AS jobs,
       (array_agg(error ORDER BY seq DESC))[1] AS newest_error, min(finished_at) AS first_ended_at,
       max(finished_at) AS last_ended_at
  FROM es.job WHERE dead_lettered GROUP BY 1, 2, 3 ORDER BY jobs DESC, last_ended_at DESC LIMIT $1
"""  # noqa: S608
SHOW = f"""{LETTER.format(event=", e.type, e.version, e.data")}
 WHERE j.id = $1 AND (j.dead_lettered OR EXISTS (SELECT FROM es.dead_letter_action a WHERE a.job_id = j.id))
"""
HISTORY = "SELECT action, actor, reason, error, attempts, at FROM es.dead_letter_action WHERE job_id = $1 ORDER BY id"
COUNT = f"""
SELECT count(*) FROM es.job
 WHERE dead_lettered AND ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR service = $2) AND finished_at <= $3
   AND ($4::text IS NULL OR {ERROR_TEMPLATE} = $4)
"""  # noqa: S608
NOW = "SELECT clock_timestamp()"

# All callers lock rows in the same order, so two redrives never deadlock. The second one finds no dead letter any more.
_CHANGE = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM es.job
     WHERE dead_lettered AND ($1::uuid IS NULL OR id = $1) AND ($2::text IS NULL OR kind = $2)
       AND ($3::text IS NULL OR service = $3) AND ($4::timestamptz IS NULL OR finished_at <= $4)
       AND ($8::text IS NULL OR {pattern} = $8)
     ORDER BY seq LIMIT $5 FOR UPDATE
), changed AS (
    UPDATE es.job j SET {change} FROM chosen c WHERE j.id = c.id
    RETURNING j.id, j.seq, j.kind, j.subject, old.error AS error, old.attempts AS attempts
), recorded AS (
    INSERT INTO es.dead_letter_action (job_id, action, actor, reason, error, attempts)
    SELECT id, '{action}', $6, $7, coalesce(error, ''), attempts FROM changed ORDER BY seq
)"""
CHANGED = " SELECT id, kind FROM changed ORDER BY seq"
REDRIVE = (
    _CHANGE.format(  # noqa: S608
        pattern=ERROR_TEMPLATE,
        action="redriven",
        change="""state = 'queued', channel = NULL, progress = NULL, result = NULL, error = NULL, attempts = 0,
           dead_lettered = false, fence = NULL, owner = NULL, lease_until = '-infinity', queued_at = clock_timestamp(),
           started_at = NULL, finished_at = NULL""",
    )
    + """, queued AS (
    INSERT INTO es.outbox (lane, topic, key, event_id)
    SELECT t.lane, t.topic, d.subject, d.id
      FROM changed d JOIN unnest($9::text[], $10::text[], $11::smallint[]) AS t (kind, topic, lane) USING (kind)
     ORDER BY d.seq
)"""
    + CHANGED
)
DISCARD = _CHANGE.format(pattern=ERROR_TEMPLATE, action="discarded", change="dead_lettered = false") + CHANGED

TOPICS = (
    [kind.value for kind in TOPIC_OF],
    [topic.name for topic in TOPIC_OF.values()],
    [int(topic.lane) for topic in TOPIC_OF.values()],
)


@dataclass(frozen=True, slots=True)
class By:
    """Who redrives or discards a job (such as ``user 42``), and why."""

    actor: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Which:
    """Select dead letters: one by its id, or all of a kind, a service or an error.

    ``until``: only jobs that failed until then. ``error_template``: as ``groups`` returns it.
    """

    id: UUID | None = None
    kind: Kind | None = None
    service: Service | None = None
    until: datetime | None = None
    error_template: str | None = None


async def copy(connection: Connection, service: Service, claimed: Claim, reason: str) -> None:
    """Send the job's event to the dead-letter topic of ``service``, with the reason as a header."""
    topic = topics.dead_letters(service)
    extra = orjson.dumps({"reason": reason, "attempts": str(claimed.attempts)}).decode()
    await connection.execute(COPY, int(topic.lane), topic.name, claimed.subject, claimed.id, extra)


async def newest(connection: Connection, which: Which, *, before: UUID | None, limit: int) -> list[asyncpg.Record]:
    """Return up to ``limit`` dead letters, newest first. ``before``: the last id of the previous page.

    Raises ``PageGone`` when the job ``before`` was deleted.
    """
    rows = await connection.fetch(LIST, which.kind, which.service, before, limit, which.error_template)
    if before is not None and not rows and await queue.read(connection, before) is None:
        raise PageGone
    return rows


async def groups(connection: Connection, *, limit: int) -> list[asyncpg.Record]:
    """Count the dead letters by service, kind and error, the largest groups first."""
    return await connection.fetch(GROUPS, limit)


async def show(connection: Connection, job_id: UUID) -> tuple[asyncpg.Record, list[asyncpg.Record]]:
    """Return the job with its event and its history of actions. Raises ``NotFound`` if it was never a dead letter."""
    row = await connection.fetchrow(SHOW, job_id)
    if row is None:
        raise NotFound("There is no such dead letter.")
    return row, await connection.fetch(HISTORY, job_id)


async def count(connection: Connection, which: Which) -> tuple[int, datetime]:
    """Return the number of selected dead letters and the time of counting, for use as ``until`` in a later call."""
    moment = which.until or await connection.fetchval(NOW)
    return await connection.fetchval(COUNT, which.kind, which.service, moment, which.error_template), moment


async def redrive(connection: Connection, which: Which, by: By, *, limit: int = 1) -> list[tuple[UUID, str]]:
    """Queue up to ``limit`` selected jobs again, oldest first, in the caller's transaction. Return ids and kinds.

    Jobs that another caller has redriven or discarded meanwhile are left out. Kafka wakes the workers. Without Kafka,
    they find the jobs at their next poll.
    """
    return _ids_and_kinds(await connection.fetch(REDRIVE, *_arguments(which, by, limit), *TOPICS))


async def discard(connection: Connection, which: Which, by: By, *, limit: int = 1) -> list[tuple[UUID, str]]:
    """Discard up to ``limit`` selected jobs. They stay failed and are not listed any more. Return ids and kinds."""
    return _ids_and_kinds(await connection.fetch(DISCARD, *_arguments(which, by, limit)))


async def require_taken(connection: Connection, job_id: UUID, taken: Sequence[object]) -> None:
    """Raise ``NotFound`` or ``RuleViolation`` if ``taken`` is empty: then the job ``job_id`` was not changed."""
    if taken:
        return
    row, history = await show(connection, job_id)
    last = history[-1] if history else None
    raise RuleViolation(
        f"This job is not a dead letter (any more): it is {row['state']}"
        + (f", and was {last['action']} by {last['actor']}." if last else ".")
    )


def _arguments(which: Which, by: By, limit: int) -> tuple[Any, ...]:
    return which.id, which.kind, which.service, which.until, limit, by.actor, by.reason, which.error_template


def _ids_and_kinds(rows: Sequence[asyncpg.Record]) -> list[tuple[UUID, str]]:
    return [(row["id"], row["kind"]) for row in rows]
