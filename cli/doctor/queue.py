"""Check the state of the queue, and send a test job that shows at which step jobs stop."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.jobs import queue
from chassis.messaging.breaker import MAX_OUTBOX_AGE_S, MAX_PROBE_AGE_S
from chassis.postgres import notify
from chassis.postgres.database import Connection, connect_alone, translated
from cli.doctor.finding import Finding, ok, wrong
from contracts.checks import CheckRequested
from contracts.jobs import Channel, Job, Service, State

POLL_S = 0.05

PROBES = """
SELECT s.service, es.age_s(c.sent_at) AS age_s
  FROM unnest($1::text[]) AS s (service) LEFT JOIN es.probe c USING (service)
"""
OUTBOX = """
SELECT count(*) AS rows, count(*) FILTER (WHERE quarantined_at IS NOT NULL) AS quarantined,
       coalesce(max(es.age_s(queued_at)), 0) AS age_s
  FROM es.outbox WHERE topic <> 'placewire.probe'
"""
COUNTS = "SELECT state, count(*) AS count FROM es.job GROUP BY state ORDER BY state"
DEAD = "SELECT count(*) FROM es.job WHERE dead_lettered"
IN_OUTBOX = "SELECT EXISTS (SELECT FROM es.outbox WHERE event_id = $1)"


async def look(url: str) -> AsyncIterator[Finding]:
    """Check jobs and the outbox, and whether each consumer has received a record recently."""
    connection = await connect_alone(url, application_name="placewire-doctor")
    try:
        for row in await connection.fetch(PROBES, [service.value for service in Service]):
            yield _consumer(row)
        outbox = await connection.fetchrow(OUTBOX)
        assert outbox is not None
        yield _outbox(outbox)
        dead = await connection.fetchval(DEAD)
        if dead:
            fix = "read the job's error, fix its cause, then redrive the job (`placewire dead-letters`)"
            yield wrong("jobs", f"{dead:,} failed for good", fix)
        counts = {row["state"]: row["count"] for row in await connection.fetch(COUNTS)}
        yield ok("jobs", ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "none yet")
    finally:
        await connection.close()


def _consumer(row: asyncpg.Record) -> Finding:
    service, age_s = row["service"], row["age_s"]
    if age_s is None:
        return wrong("bus", f"{service} has never received a record", f"start the relay, Kafka and {service}")
    if age_s > MAX_PROBE_AGE_S:
        message = f"{service} last received a record {age_s:,.0f} s ago"
        return wrong("bus", message, f"relay, Kafka or {service} is down: jobs of {service} use HTTP meanwhile")
    return ok("bus", f"{service} received a record {age_s:.1f} s ago")


def _outbox(row: asyncpg.Record) -> Finding:
    if row["quarantined"]:
        message = f"{row['quarantined']:,} rows were refused by Kafka for good, and block their streams"
        return wrong("outbox", message, "read es.outbox.error; delete the row if Kafka may lack this event")
    if row["age_s"] > MAX_OUTBOX_AGE_S:
        message = f"{row['rows']:,} rows, the oldest waits for {row['age_s']:,.0f} s"
        return wrong("outbox", message, "start the relay, or Kafka: no row is lost, and sending then continues")
    return ok("outbox", f"{row['rows']:,} rows wait for Kafka")


async def send(url: str, within_s: float) -> AsyncIterator[Finding]:
    """Send a test job through outbox, relay, Kafka, consumer and worker, and wait for its result.

    The job leaves a stream of two small events. ``url``: a role that may append (the API's, or the owner's).
    """
    connection = await connect_alone(url, application_name="placewire-doctor")
    try:
        with translated(connection):
            began = time.monotonic()
            job_id = await _request_check(connection)
            job = await _wait_for_end(connection, job_id, deadline=began + within_s)
            took_ms = (time.monotonic() - began) * 1000
            yield await _outcome(connection, job, took_ms, within_s)
    finally:
        await connection.close()


async def _request_check(connection: Connection) -> UUID:
    check_id = uuid7()
    cause = Cause(source="doctor", correlation_id=check_id)
    async with connection.transaction():
        appended = await event_store.append(
            connection, f"check-{check_id}", [CheckRequested(check_id=check_id)], cause, expected_version=0
        )
    await connection.execute("SELECT pg_notify($1, '')", notify.OUTBOX)
    return appended.ids[0]


async def _wait_for_end(connection: Connection, job_id: UUID, *, deadline: float) -> Job:
    while True:
        job = await queue.read(connection, job_id)
        assert job is not None
        if job.state.ended or time.monotonic() > deadline:
            return job
        await asyncio.sleep(POLL_S)


async def _outcome(connection: Connection, job: Job, took_ms: float, within_s: float) -> Finding:
    if job.state is State.SUCCEEDED and job.channel is Channel.KAFKA:
        return ok("a job", f"passed outbox, relay, Kafka and maintenance in {took_ms:,.0f} ms")
    if job.state is State.SUCCEEDED:
        message = f"succeeded in {took_ms:,.0f} ms, but {job.channel} woke its worker, not Kafka"
        return wrong("a job", message, "see the findings about Kafka, the bus and the outbox above")
    if job.state.ended:
        return wrong("a job", f"{job.state}: {job.error}", "see the log of maintenance")
    if job.state is State.QUEUED and await connection.fetchval(IN_OUTBOX, job.id):
        return wrong("a job", f"is in the outbox after {within_s:.0f} s", "start the relay and Kafka")
    if job.state is State.QUEUED:
        message = f"was sent to Kafka, but no worker claimed it within {within_s:.0f} s"
        return wrong("a job", message, "start maintenance")
    return wrong("a job", f"is {job.state} after {within_s:.0f} s", "see the log of maintenance: it is busy, or paused")
