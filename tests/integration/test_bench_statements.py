"""The SQL statements of the benchmarks run on the current schema. Nothing is measured."""

import os
from pathlib import Path

import asyncpg

from bench import burst, costs, eligibility, export, latency
from bench.effect_worker import effect
from bench.effects import TABLE
from bench.placewire_jobs import QUEUE
from chassis.jobs.job_handler import JobHandler
from contracts import topics
from contracts.checks import CheckRequested
from contracts.jobs import Kind, State
from services.maintenance import checks
from tests.support.bulk_students import PLAIN_COUNT, enrol
from tests.support.job_worker import done, working

Owner = asyncpg.Connection
JOBS = 20


async def test_queued_jobs_run_and_report_their_phases(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    await owner.execute(TABLE)
    topic = topics.MAINTENANCE
    await owner.execute(QUEUE, JOBS, topic.name, int(topic.lane), CheckRequested.TYPE)
    newest = await owner.fetchval(burst.NEWEST)
    assert await owner.fetchval(burst.WAITING, newest) == await owner.fetchval(burst.UNDONE) == JOBS
    ids = [row["id"] for row in await owner.fetch("SELECT id FROM es.job")]
    work = JobHandler(handle=effect, failed=checks.failed)
    async with working(database_url, work=work, kind=Kind.CHECK) as worker:
        jobs = await done(worker, *ids)
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert await owner.fetchval("SELECT count(*) FROM bench.effect") == JOBS
    [phases] = await owner.fetch(latency.PHASES)
    assert all(phase > 0 for phase in phases.values())
    assert await owner.fetchval(burst.UNDONE) == 0
    # No relay runs, so the requests still wait. The result events are not counted.
    assert await owner.fetchval(burst.WAITING, newest) == JOBS
    assert await owner.fetchval(costs.KEPT) > 0
    assert all(row["count"] > 0 for row in await owner.fetch(costs.CONNECTIONS))


async def test_the_benchmark_runs_the_insert_of_the_service(owner: "Owner[asyncpg.Record]") -> None:
    await enrol(owner, 500)
    status = await owner.execute(eligibility.insert(1))
    assert status == f"INSERT 0 {await owner.fetchval(PLAIN_COUNT)}"
    await owner.execute("TRUNCATE selections")  # no event records these rows


async def test_the_benchmark_runs_the_query_of_the_export(owner: "Owner[asyncpg.Record]") -> None:
    command = export.copy(1, Path("file.csv"))
    assert "\n" not in command
    query = command.removeprefix("\\copy (").rpartition(") TO 'file.csv'")[0]
    assert await owner.fetch(query) == []


def test_cpu_time_of_a_process_rises_while_it_works() -> None:
    before = costs.cpu_s(os.getpid())
    sum(number * number for number in range(2_000_000))
    assert costs.cpu_s(os.getpid()) > before
