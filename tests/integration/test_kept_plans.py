"""Plans that a connection keeps were made while the tables were small, and must still be good when they are not."""

import asyncpg
import pytest
from services.api.sweep import AT_A_TIME, OVERDUE, QUEUED_FOR_S

from bench.placewire_jobs import QUEUE
from contracts import topics
from contracts.checks import CheckRequested
from contracts.jobs import Service
from services.api.jobs.sql import newest

Owner = asyncpg.Connection
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'es' AND relname = $1"
TURN = "SELECT id, event_id FROM es.relay_turn($1, 1000, 500) WHERE event_id IS NOT NULL"
RECEIVE = "SELECT count(*) FROM es.receive('maintenance', $1, 'bus')"
TAKE = "SELECT count(*) FROM es.receive_and_claim('maintenance', NULL, NULL, 2, 'test', '1 minute', $1, 7)"
READ = """
SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE schemaname = 'es' AND relname = $1
"""
QUEUED = 5_000
CLAIM = "SELECT id, fence FROM es.receive_and_claim('maintenance', NULL, NULL, 1, 'test', '1 minute', '{}', 0)"
FINISH = "SELECT es.finish($1, $2, 'succeeded', '{}', NULL, false)"


async def counted(owner: Owner, statement: str, table: str) -> int:
    await owner.execute("SELECT pg_stat_force_next_flush()")
    found: int = await owner.fetchval(statement, table)
    return found


async def queue(owner: Owner, count: int) -> None:
    topic = topics.MAINTENANCE
    await owner.execute(QUEUE, count, topic.name, int(topic.lane), CheckRequested.TYPE)


@pytest.mark.damages  # its jobs end without the event that tells of it
@pytest.mark.parametrize("table", ["outbox", "job"])
async def test_relay_and_worker_read_no_whole_table(owner: Owner, table: str) -> None:
    await owner.execute(f"VACUUM ANALYZE es.{table}")
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    before = await counted(owner, SCANS, table)
    sent: list[int] = []
    for _ in range(8):
        await queue(owner, 1)
        rows = await owner.fetch(TURN, sent)
        assert await owner.fetchval(RECEIVE, [row["event_id"] for row in rows]) == len(rows) == 1
        [claimed] = await owner.fetch(CLAIM)
        await owner.execute(FINISH, *claimed)
        sent = [row["id"] for row in rows]
    assert await counted(owner, SCANS, table) == before


@pytest.mark.damages  # its jobs end without the event that tells of it
@pytest.mark.parametrize("cached", ["force_generic_plan", "force_custom_plan"])
async def test_a_claim_reads_what_waits_and_not_what_has_ended(owner: Owner, cached: str) -> None:
    await owner.execute(f"SET plan_cache_mode = {cached}")
    await queue(owner, QUEUED)
    ids = await owner.fetchval("SELECT array_agg(id ORDER BY seq) FROM es.job")
    assert await owner.fetchval(RECEIVE, ids) == QUEUED
    await owner.execute("ANALYZE es.job, es.event")  # all jobs that it has seen are unfinished
    await owner.execute(
        "UPDATE es.job SET state = 'succeeded', finished_at = clock_timestamp() WHERE id = ANY ($1)", ids[:-100]
    )
    await owner.execute("VACUUM es.job")

    before = await counted(owner, READ, "job")
    claimed = await owner.fetchval(TAKE, [CheckRequested.TYPE])
    assert claimed == 2 * (1 + 7)
    assert await counted(owner, READ, "job") - before < 200


@pytest.mark.damages  # its jobs have waited for longer than there were any
async def test_the_sweep_reads_what_it_hands_over(owner: Owner) -> None:
    await queue(owner, QUEUED)
    await owner.execute("UPDATE es.job SET queued_at = queued_at - interval '1 minute'")
    await owner.execute("VACUUM ANALYZE es.job")

    before = await counted(owner, READ, "job")
    found: list[asyncpg.Record] = []
    after = 0
    for _ in range(3):
        page = await owner.fetch(OVERDUE, QUEUED_FOR_S, list(Service), AT_A_TIME, after)
        found, after = found + page, page[-1]["seq"]
    assert await counted(owner, READ, "job") - before < 4 * AT_A_TIME
    oldest = await owner.fetch("SELECT id FROM es.job ORDER BY seq LIMIT $1", 3 * AT_A_TIME)
    assert [row["id"] for row in found] == [row["id"] for row in oldest]


@pytest.mark.damages  # its jobs are nobody's, and then somebody's
@pytest.mark.parametrize("asked_by", [None, 1], ids=["everyone's", "one's own"])
async def test_a_page_of_jobs_reads_what_it_shows(owner: Owner, asked_by: int | None) -> None:
    await queue(owner, QUEUED)
    await owner.execute("UPDATE es.job SET asked_by = seq % 100")
    await owner.execute("VACUUM ANALYZE es.job")

    before = await counted(owner, READ, "job")
    first = await newest(owner, asked_by=asked_by, state=None, before=None, most=20)
    second = await newest(owner, asked_by=asked_by, state=None, before=first[-1]["id"], most=20)
    assert await counted(owner, READ, "job") - before < 100

    mine = "SELECT id FROM es.job WHERE $1::integer IS NULL OR asked_by = $1 ORDER BY seq DESC LIMIT 40"
    assert [row["id"] for row in first + second] == [row["id"] for row in await owner.fetch(mine, asked_by)]
