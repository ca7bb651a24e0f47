"""Statements about the state of the installation.

Plans (EXPLAIN): OUTBOX reads the outbox, which is nearly empty while the relay runs; JOBS is an index scan on
job_unfinished, DEAD_LETTERS one on job_dead_lettered; SLOTS reads the index job_newest until it has found the slots.
"""

from dataclasses import dataclass

import asyncpg

from chassis.postgres.database import Connection
from contracts.jobs import Kind
from contracts.maintenance import RefreshCause

SHOWN_SLOTS = 10

OUTBOX = """
SELECT count(*) AS waiting, max(es.age_s(queued_at)) AS oldest_s,
       count(DISTINCT key) FILTER (WHERE quarantined_at IS NOT NULL) AS quarantined_keys
  FROM es.outbox WHERE topic <> $1
"""
JOBS = """
SELECT service, state, count(*) AS jobs,
       max(es.age_s(CASE state WHEN 'queued' THEN queued_at ELSE started_at END)) AS oldest_s
  FROM es.job WHERE finished_at IS NULL GROUP BY service, state ORDER BY service, state
"""
DEAD_LETTERS = "SELECT count(*) FROM es.job WHERE dead_lettered"
REFRESH = """
SELECT min(refreshed_at) AS as_of, max(finished_at) AS finished_at, sum(duration_s)::float8 AS duration_s
  FROM view_refresh
"""
SLOTS = f"""
SELECT (e.data ->> 'slot')::timestamptz AS slot, e.recorded_at, j.id AS job_id, j.state, j.finished_at
  FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE j.kind = '{Kind.REFRESH}' AND e.data ->> 'cause' = '{RefreshCause.SCHEDULE}'
 ORDER BY -j.seq LIMIT {SHOWN_SLOTS}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Installation:
    """The state of one moment, without the breakers, which each process decides for itself."""

    outbox: asyncpg.Record
    jobs: list[asyncpg.Record]
    dead_letters: int
    refresh: asyncpg.Record
    slots: list[asyncpg.Record]


async def installation(connection: Connection, *, probe_topic: str) -> Installation:
    """Return the state of the installation. Probes in the outbox are not counted: the relay adds one each second."""
    outbox = await connection.fetchrow(OUTBOX, probe_topic)
    jobs = await connection.fetch(JOBS)
    dead_letters = await connection.fetchval(DEAD_LETTERS)
    refresh = await connection.fetchrow(REFRESH)
    slots = await connection.fetch(SLOTS)
    assert outbox is not None
    assert refresh is not None
    return Installation(outbox, jobs, dead_letters, refresh, slots)
