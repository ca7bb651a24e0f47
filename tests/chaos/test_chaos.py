"""A short run of ``make chaos``: a fault of each process and network, and of Kafka together with a service."""

import os
import shutil

import pytest
from rich.console import Console

from devstack.stack import data_folder
from tests.chaos.faults import one_of_each
from tests.chaos.report import show
from tests.chaos.run import DRAINED_WITHIN_S, run
from tests.support.sizes import sized

SEED = 20_261_124
# An upper limit. The run ends after the last fault, which takes about a minute on 2 idle cores.
SECONDS = sized(small=300, full=400)
LASTS_S = sized(small=2, full=3)
RATE = sized(small=12, full=24)
START_AND_REVIVE_S = 240


# The limits inside the run report what is missing, so they must be reached before this timeout.
@pytest.mark.timeout(SECONDS + 2 * DRAINED_WITHIN_S + START_AND_REVIVE_S)
def test_nothing_is_lost_and_nothing_happens_twice() -> None:
    # A folder for this run. A failed run keeps it.
    folder = data_folder() / f"chaos-{os.getpid()}"
    planned = one_of_each(SEED, lasts_s=LASTS_S)
    report = run(folder, planned, seconds=SECONDS, seed=SEED, rate=RATE, watch=lambda *_: None)
    show(report, Console(width=120))
    found = report.findings
    assert (found.lost, found.doubled, found.wrong) == ([], [], [])
    assert {done.fault.target for done in report.faults} == {fault.target for fault in planned}
    assert {kind for kind, _ in found.channels} == {"eligibility", "export", "refresh"}
    assert {channel for _, channel in found.channels} >= {"kafka", "http", "poll"}
    shutil.rmtree(folder, ignore_errors=True)
