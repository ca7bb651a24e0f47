"""How soon a change is on the analytics page of a small campus: a real maintenance process, and no Kafka."""

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
    """The maintenance process, beside the API of the fixture ``api``."""
    with running(database_url, NO_KAFKA, tmp_path, **SETTINGS) as system:
        system.start("maintenance")
        yield system


async def finished_drives(api: Api) -> int:
    found: int = (await api.get("/api/analytics/summary")).json()["finished"]
    return found


async def attended(api: Api) -> int:
    """The id of a drive that can be finished."""
    drive_id = await posted(api)
    await register(api, drive_id, 1, 2, 3)
    await stop(api, drive_id)
    await mark(api, drive_id, s1="PRESENT", s2="PRESENT", s3="ABSENT")
    return drive_id


async def is_quiet(owner: "Owner[asyncpg.Record]") -> bool:
    """Whether every change is shown, and the pause after it is over."""
    last = await sql.last_refresh(owner)
    changed, _ = await sql.changed_since(owner, last.snapshot)
    return not changed and not last.under_way and last.since_s > pause_s(last.duration_s, MAX_PAUSE_S)


async def test_a_finished_drive_is_on_the_analytics_page_within_two_seconds(
    api: Api, owner: "Owner[asyncpg.Record]", maintenance: System
) -> None:
    """From the answer of the command to the page. On a machine so busy that a refresh takes long, that counts too."""
    await enrol(owner, 1_000)
    for before in range(ROUNDS):
        drive_id = await attended(api)

        await eventually(lambda: is_quiet(owner), within_s=60)
        assert await finished_drives(api) == before
        answer = await api.post(f"/api/attendance/{drive_id}/publish", "COORDINATOR")
        assert answer.status_code == 200, answer.text
        began = monotonic()

        async def shown(expected: int = before + 1) -> bool:
            return await finished_drives(api) == expected

        await eventually(shown)
        waited_s, refresh_s = monotonic() - began, await owner.fetchval(LAST)
        log.info("finished drive seen after %.2f s; the refresh took %.3f s", waited_s, refresh_s)
        assert waited_s < max(SEEN_WITHIN_S, 10 * refresh_s)


async def test_nothing_is_refreshed_while_nothing_changes(
    api: Api, owner: "Owner[asyncpg.Record]", maintenance: System
) -> None:
    await posted(api)
    await eventually(lambda: is_quiet(owner), within_s=60)
    before = await owner.fetchval(REQUESTED)
    # Requests for files are no change; the watch looks at them several times.
    await api.post("/api/exports", json={"kind": "finished_drives", "format": "csv"})
    await asyncio.sleep(2)
    await posted(api)
    await eventually(lambda: is_quiet(owner), within_s=60)
    assert await owner.fetchval(REQUESTED) == before + 1, "the second drive alone"
