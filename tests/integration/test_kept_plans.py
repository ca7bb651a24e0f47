"""Plans that a connection keeps were made while the tables were small, and must still be good when they are not."""

import asyncpg
import pytest

from bench.placewire_jobs import QUEUE
from contracts import topics
from contracts.checks import CheckRequested

Owner = asyncpg.Connection
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'es' AND relname = $1"
TURN = "SELECT id, event_id FROM es.relay_turn($1, 1000, 500) WHERE event_id IS NOT NULL"
RECEIVE = "SELECT count(*) FROM es.receive('maintenance', $1, 'bus')"
FINISH = "SELECT es.finish($1, 0, 'succeeded', '{}', NULL, false)"


async def scans(owner: Owner, table: str) -> int:
    await owner.execute("SELECT pg_stat_force_next_flush()")
    found: int = await owner.fetchval(SCANS, table)
    return found


@pytest.mark.damages  # its jobs end without the event that tells of it
@pytest.mark.parametrize("table", ["outbox", "job"])
async def test_relay_and_worker_read_no_whole_table(owner: Owner, table: str) -> None:
    topic = topics.MAINTENANCE
    await owner.execute(f"VACUUM ANALYZE es.{table}")
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    before = await scans(owner, table)
    sent: list[int] = []
    for _ in range(8):
        await owner.execute(QUEUE, 1, topic.name, int(topic.lane), CheckRequested.TYPE)
        rows = await owner.fetch(TURN, sent)
        assert await owner.fetchval(RECEIVE, [row["event_id"] for row in rows]) == len(rows) == 1
        await owner.execute(FINISH, rows[0]["event_id"])
        sent = [row["id"] for row in rows]
    assert await scans(owner, table) == before
