"""Run chaos on the new server after a log has moved (a long test)."""

import asyncio
import os
import shutil
from pathlib import Path

import asyncpg
import pytest

from devstack.stack import data_folder
from tests.chaos.faults import plan
from tests.chaos.run import DRAINED_WITHIN_S, run
from tests.chaos.test_chaos import RATE, SEED, START_AND_REVIVE_S
from tests.support import log_moves
from tests.support.bulk_students import enrol
from tests.support.log_moves import url_of

SECONDS = 60
EPOCH = "SELECT max(number) FROM es.epoch"


@pytest.mark.full_only
@pytest.mark.timeout(SECONDS + 3 * DRAINED_WITHIN_S + START_AND_REVIVE_S)
@pytest.mark.parametrize("heading", ["By dump and restore", "By logical replication"])
def test_nothing_is_lost_on_the_new_server_and_nothing_happens_twice(heading: str, tmp_path: Path) -> None:
    folder = data_folder() / f"chaos-moved-{os.getpid()}"
    with log_moves.servers(new_home=folder / "postgres") as (old, new):
        asyncio.run(_enrolled(url_of(old)))
        first, *rest = log_moves.commands_under(heading)
        log_moves.carry_out(first, old, new, tmp_path)
        if len(rest) > 1:
            asyncio.run(log_moves.until_copied(new))
        for commands in rest:
            log_moves.carry_out(commands, old, new, tmp_path)
        assert asyncio.run(_epoch(url_of(new))) == 2
        new.stop()
        old.stop()
        report = run(folder, plan(SEED), seconds=SECONDS, seed=SEED, rate=RATE, watch=lambda *_: None)
    found = report.findings
    assert (found.lost, found.doubled, found.wrong) == ([], [], [])
    shutil.rmtree(folder, ignore_errors=True)


async def _enrolled(url: str) -> None:
    owner = await asyncpg.connect(url)
    try:
        await enrol(owner, 50)
    finally:
        await owner.close()


async def _epoch(url: str) -> int:
    owner = await asyncpg.connect(url)
    try:
        return int(await owner.fetchval(EPOCH))
    finally:
        await owner.close()
