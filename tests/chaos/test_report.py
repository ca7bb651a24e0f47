"""A run that proves too little is reported, even if it found no errors."""

from collections import Counter

import pytest

from tests.chaos.faults import Fault
from tests.chaos.findings import Findings
from tests.chaos.ledger import Command, Ledger
from tests.chaos.report import CHANNELS, KINDS, LEAST_FAULTS, LONG_RUN_S, Committed, Report

USED = Counter({(kind, channel): 10 for kind in KINDS for channel in CHANNELS})


def ran(*, per_s: float = 24, faults: int = LEAST_FAULTS, channels: Counter[tuple[str, str]] = USED) -> Report:
    """Return the report of a run of ``LONG_RUN_S``. Faults are only counted in a run that is as long as this."""
    command = Command("create", "/api/drives", "HEAD", 1, {}, "key")
    ledger = Ledger(commands=[command] * int(per_s * LONG_RUN_S), sent_for_s=LONG_RUN_S)
    done = [Committed(Fault("kill", "api", 1, 1), 0, 1)] * faults
    return Report(7, LONG_RUN_S, ledger, done, Findings(channels=channels))


def test_a_full_run_has_no_shortfalls() -> None:
    assert ran().shortfalls() == []


@pytest.mark.parametrize("name", [*KINDS, *CHANNELS])
def test_each_kind_and_each_channel_must_carry_its_share(name: str) -> None:
    rarely = Counter({key: 1 if name in key else 100 for key in USED})
    [shortfall] = ran(channels=rarely).shortfalls()
    assert shortfall.startswith(f"{name} carried ")


def test_too_few_commands_a_second_or_too_few_faults_are_reported() -> None:
    assert ran(per_s=19).shortfalls() == ["19.0 commands a second were sent, not 20"]
    assert ran(faults=59).shortfalls() == ["59 faults in 900 s, not 60"]
    assert ran(faults=0, channels=Counter()).shortfalls()[:2] == [
        "eligibility carried 0.0% of the jobs, not 5%",
        "export carried 0.0% of the jobs, not 5%",
    ]
