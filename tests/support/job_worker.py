"""Run a service's worker in this process, without HTTP and Kafka. The default is the worker of eligibility."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg

from chassis.http.service import background
from chassis.jobs import queue
from chassis.jobs.job_handler import JobHandler, StagedJobHandler
from chassis.jobs.worker import Worker
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from contracts.jobs import OWNER, Channel, Job, Kind, State
from devstack.ports import LOOPBACK
from services.eligibility import handlers
from tests.support.system import as_role

EVALUATION = JobHandler(handle=handlers.evaluate, failed=handlers.failed)


@asynccontextmanager
async def working(
    database_url: str,
    *,
    work: JobHandler | StagedJobHandler = EVALUATION,
    kind: Kind = Kind.ELIGIBILITY,
    owner: str = "test",
    at_once: int = 2,
    lease_s: float = 60,
    paused_retry_s: float = 60,
    through: int | None = None,
) -> AsyncIterator[Worker]:
    """Yield a running worker. ``through``: the port of a proxy in front of Postgres, for the connections of jobs."""
    service = OWNER[kind]
    url = as_role(database_url, f"placewire_{service}")
    database = Database(_through(url, through), pool_size=10, application_name="test-worker")
    notifier = Notifier(url, application_name="test-worker-notify")
    worker = Worker(
        database,
        notifier,
        service,
        {kind: work},
        owner=owner,
        at_once=at_once,
        lease_s=lease_s,
        paused_retry_s=paused_retry_s,
    )
    try:
        async with background(notifier.run, worker.run):
            yield worker
            await worker.stop(5)
    finally:
        await database.close()


def _through(url: str, port: int | None) -> str:
    if port is None:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{LOOPBACK}:{port}"))


def wake(worker: Worker, ids: Sequence[UUID], channel: Channel = Channel.KAFKA) -> None:
    for id_ in ids:
        worker.wake(id_, channel)


async def waited(worker: Worker, job_id: UUID, *, timeout_s: float) -> Job | None:
    """Return the job when it has ended, or its state after ``timeout_s``. Return ``None`` if there is no such job."""
    deadline = monotonic() + timeout_s
    while True:
        async with worker._database.connection() as connection:
            job = await queue.read(connection, job_id)
        if job is None or job.state.ended or monotonic() >= deadline:
            return job
        await asyncio.sleep(0.02)


async def done(worker: Worker, *job_ids: str | UUID, channel: Channel = Channel.KAFKA) -> list[Job]:
    """Wake ``worker`` for the jobs and wait until each has ended."""
    ids = [UUID(str(id_)) for id_ in job_ids]
    wake(worker, ids, channel)
    ended: list[Job] = []
    for id_ in ids:
        job = await waited(worker, id_, timeout_s=30)
        assert job is not None
        assert job.state.ended, job
        ended.append(job)
    return ended


# Leased jobs are not claimed. The time is shorter than the lease of a claim, because a longer lease is taken for the
# result of a wrong clock.
HOLD_OTHERS = """
UPDATE es.job SET lease_until = CASE WHEN id = $1 THEN '-infinity' ELSE clock_timestamp() + interval '30 s' END
 WHERE state = 'queued'
"""
RELEASE_ALL = "UPDATE es.job SET lease_until = '-infinity' WHERE state = 'queued'"


async def done_in_order(
    owner: "asyncpg.Connection[asyncpg.Record]", database_url: str, *job_ids: str | UUID
) -> list[Job]:
    """Run the jobs in this order, each with a separate worker. Requires that no other worker runs."""
    ended: list[Job] = []
    for id_ in job_ids:
        await owner.execute(HOLD_OTHERS, UUID(str(id_)))
        async with working(database_url) as worker:
            ended += await done(worker, id_)
    await owner.execute(RELEASE_ALL)
    return ended


async def until_dead_lettered(worker: Worker, job_id: str | UUID) -> Job:
    [job] = await done(worker, job_id)
    assert job.state is State.FAILED
    return job
