"""Plans that a connection keeps were made while the tables were small, and must still be good when they are not."""

import asyncpg
import pytest

from bench.placewire_jobs import QUEUE
from contracts import topics
from contracts.checks import CheckRequested

Owner = asyncpg.Connection
SCANS = (
    "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = 'es' AND relname = ANY ($1)"
)
TURN = "SELECT id FROM es.relay_turn($1, 1000, 500)"
TAKE = "SELECT id, fence FROM es.take('maintenance', $1, 'bus', 1, 'me', '1 min', '{}', 0)"
SUCCEED = "SELECT es.succeed(ARRAY[$1::uuid], ARRAY[$2::bigint], ARRAY['{}'::jsonb], '{}', '{}', '{}', '{}')"
TABLES = ["stream", "event", "outbox", "job"]


async def road(owner: Owner, sent: list[int]) -> list[int]:
    """One job from its event to its end; what the next turn of the relay deletes."""
    topic = topics.MAINTENANCE
    await owner.execute(QUEUE, 1, topic.name, int(topic.lane), CheckRequested.TYPE)
    rows = await owner.fetch(TURN, sent)
    id_ = await owner.fetchval("SELECT id FROM es.job WHERE state = 'queued'")
    claims = [row for row in await owner.fetch(TAKE, [id_]) if row["id"]]
    for claim in claims:
        await owner.execute(SUCCEED, claim["id"], claim["fence"])
    assert [claim["id"] for claim in claims] == [id_]
    return [row["id"] for row in rows]


async def scans(owner: Owner, tables: list[str]) -> int:
    await owner.execute("SELECT pg_stat_force_next_flush()")
    found: int = await owner.fetchval(SCANS, tables)
    return found


@pytest.mark.damages  # its jobs end without the event that tells of it
@pytest.mark.parametrize("table", TABLES)
async def test_no_step_of_a_jobs_road_reads_a_whole_table(owner: Owner, table: str) -> None:
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    sent: list[int] = []
    before = await scans(owner, [table])
    for _ in range(8):
        sent = await road(owner, sent)
    # The test itself looks for the job.
    assert await scans(owner, [table]) - before <= (8 if table == "job" else 0)
