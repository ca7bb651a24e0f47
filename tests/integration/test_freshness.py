"""How soon analytics show a change on a small campus, with a real maintenance process and without Kafka."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from services.maintenance import sql
from services.maintenance.change_watch import pause_s
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import mark, posted, register, stop
from tests.support.eventually import eventually
from tests.support.sizes import sized
from tests.support.system import System, running

Owner = asyncpg.Connection
NO_KAFKA = "127.0.0.1:9"
SEEN_WITHIN_S = 2.0
ROUNDS = sized(small=1, full=3)
MAX_PAUSE_S = 5.0
SETTINGS = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "0 0 29 2 *", "REFRESH_AFTER_CHANGE_S": str(MAX_PAUSE_S)}
REQUESTED = "SELECT count(*) FROM es.event WHERE type = 'placewire.refresh.requested.v1'"
LAST = "SELECT sum(duration_s) FROM view_refresh"

log = logging.getLogger(__name__)


@pytest.fixture
def maintenance(database_url: str, tmp_path: Path) -> Iterator[System]:
    """Start the maintenance process. The API comes from the fixture ``api``."""
    with running(database_url, NO_KAFKA, tmp_path, **SETTINGS) as system:
        system.start("maintenance")
        yield system


async def finished_drives(api: Api) -> int:
    count: int = (await api.get("/api/analytics/summary")).json()["finished"]
    return count


async def attended(api: Api) -> int:
    """Return the id of a drive whose attendance can be published."""
    drive_id = await posted(api)
    await register(api, drive_id, 1, 2, 3)
    await stop(api, drive_id)
    await mark(api, drive_id, s1="PRESENT", s2="PRESENT", s3="ABSENT")
    return drive_id


async def is_quiet(owner: "Owner[asyncpg.Record]") -> bool:
    """Return whether the views show every change, and the pause after the last refresh is over."""
    last = await sql.last_refresh(owner)
    changed, _ = await sql.changed_since(owner, last.snapshot)
    return not changed and not last.under_way and last.since_s > pause_s(last.duration_s, MAX_PAUSE_S)


async def test_analytics_show_a_finished_drive_within_two_seconds(
    api: Api, owner: "Owner[asyncpg.Record]", maintenance: System
) -> None:
    """The time runs from the answer of the command. On a busy machine, ten times the duration of a refresh may pass."""
    await enrol(owner, 1_000)
    for drives_before in range(ROUNDS):
        drive_id = await attended(api)

        await eventually(lambda: is_quiet(owner), within_s=60)
        assert await finished_drives(api) == drives_before
        answer = await api.post(f"/api/attendance/{drive_id}/publish", "COORDINATOR")
        assert answer.status_code == 200, answer.text
        started_s = monotonic()

        async def shown(expected: int = drives_before + 1) -> bool:
            return await finished_drives(api) == expected

        await eventually(shown)
        waited_s, refresh_s = monotonic() - started_s, await owner.fetchval(LAST)
        log.info("finished drive seen after %.2f s; the refresh took %.3f s", waited_s, refresh_s)
        assert waited_s < max(SEEN_WITHIN_S, 10 * refresh_s)


@pytest.mark.full_only
async def test_views_are_not_refreshed_while_nothing_changes(
    api: Api, owner: "Owner[asyncpg.Record]", maintenance: System
) -> None:
    await posted(api)
    await eventually(lambda: is_quiet(owner), within_s=60)
    requested_before = await owner.fetchval(REQUESTED)
    # A requested export is no change of the views. The watch sees it several times within the sleep.
    await api.post("/api/exports", json={"kind": "finished_drives", "format": "csv"})
    await asyncio.sleep(2)
    await posted(api)
    await eventually(lambda: is_quiet(owner), within_s=60)
    assert await owner.fetchval(REQUESTED) == requested_before + 1, "only the second drive causes a refresh"
