"""Cached plans are made while the tables are small, and must still be good after the tables have grown."""

import asyncpg
import pytest

from bench.placewire_jobs import QUEUE
from contracts import topics
from contracts.checks import CheckRequested
from services.api.jobs.sql import newest

Owner = asyncpg.Connection
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'es' AND relname = $1"
TURN = "SELECT id, event_id FROM es.relay_turn($1, 1000, 500) WHERE event_id IS NOT NULL"
CLAIM_BATCHES = "SELECT count(*) FROM es.claim('maintenance', 2, 'test', '1 minute', $1, 8, '{}')"
READ = """
SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE schemaname = 'es' AND relname = $1
"""
QUEUED = 5_000
CLAIM = "SELECT id, fence FROM es.claim('maintenance', 1, 'test', '1 minute', '{}', 1, '{}')"
FINISH = "SELECT es.finish($1, $2, 'poll', 'succeeded', '{}', NULL, false)"


async def read_statistic(owner: Owner, statement: str, table: str) -> int:
    await owner.execute("SELECT pg_stat_force_next_flush()")
    statistic: int = await owner.fetchval(statement, table)
    return statistic


async def queue(owner: Owner, count: int) -> None:
    topic = topics.MAINTENANCE
    await owner.execute(QUEUE, count, topic.name, int(topic.lane), CheckRequested.TYPE)


@pytest.mark.damages  # the jobs end without result events
@pytest.mark.parametrize("table", ["outbox", "job"])
async def test_relay_and_worker_scan_no_whole_table(owner: Owner, table: str) -> None:
    await owner.execute(f"VACUUM ANALYZE es.{table}")
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    before = await read_statistic(owner, SCANS, table)
    sent: list[int] = []
    for _ in range(8):
        await queue(owner, 1)
        rows = await owner.fetch(TURN, sent)
        [claimed] = await owner.fetch(CLAIM)
        assert [row["event_id"] for row in rows] == [claimed["id"]]
        await owner.execute(FINISH, *claimed)
        sent = [row["id"] for row in rows]
    assert await read_statistic(owner, SCANS, table) == before


@pytest.mark.damages  # the jobs end without result events
@pytest.mark.parametrize("cached", ["force_generic_plan", "force_custom_plan"])
async def test_a_claim_reads_queued_jobs_and_not_ended_ones(owner: Owner, cached: str) -> None:
    await owner.execute(f"SET plan_cache_mode = {cached}")
    await queue(owner, QUEUED)
    ids = await owner.fetchval("SELECT array_agg(id ORDER BY seq) FROM es.job")
    await owner.execute("ANALYZE es.job, es.event")  # at this moment, all jobs are unfinished
    await owner.execute(
        "UPDATE es.job SET state = 'succeeded', finished_at = clock_timestamp() WHERE id = ANY ($1)", ids[:-100]
    )
    await owner.execute("VACUUM es.job")

    before, events = await read_statistic(owner, READ, "job"), await read_statistic(owner, READ, "event")
    claimed = await owner.fetchval(CLAIM_BATCHES, [CheckRequested.TYPE])
    assert claimed == 2 * (1 + 7)
    # Each of the 100 queued jobs is read a few times: as a candidate, for running subjects and locks, and for batches.
    assert await read_statistic(owner, READ, "job") - before < 7 * 100
    assert await read_statistic(owner, READ, "event") - events < 2 * 100


@pytest.mark.damages  # no worker runs these jobs
async def test_a_claim_that_finds_every_job_running_reads_each_once(owner: Owner) -> None:
    await queue(owner, 300)
    await owner.execute("UPDATE es.job SET state = 'running', lease_until = clock_timestamp() + interval '30 s'")
    await owner.execute("VACUUM ANALYZE es.job")
    before = await read_statistic(owner, READ, "job")
    assert await owner.fetchval(CLAIM_BATCHES, [CheckRequested.TYPE]) == 0
    assert await read_statistic(owner, READ, "job") - before < 1.5 * 300


@pytest.mark.damages  # the jobs get users who never requested them
@pytest.mark.parametrize("requested_by", [None, 1], ids=["everyone's", "one's own"])
async def test_a_page_of_jobs_reads_few_other_rows(owner: Owner, requested_by: int | None) -> None:
    await queue(owner, QUEUED)
    await owner.execute("UPDATE es.job SET requested_by = seq % 100")
    await owner.execute("VACUUM ANALYZE es.job")

    before = await read_statistic(owner, READ, "job")
    first = await newest(owner, requested_by=requested_by, state=None, before=None, limit=20)
    second = await newest(owner, requested_by=requested_by, state=None, before=first[-1]["id"], limit=20)
    assert await read_statistic(owner, READ, "job") - before < 100

    expected = "SELECT id FROM es.job WHERE $1::integer IS NULL OR requested_by = $1 ORDER BY seq DESC LIMIT 40"
    assert [row["id"] for row in first + second] == [row["id"] for row in await owner.fetch(expected, requested_by)]
