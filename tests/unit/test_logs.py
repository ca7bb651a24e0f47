"""What reaches the log, and how much of it."""

import logging

import pytest

from chassis.telemetry import set_up_logs


@pytest.fixture(autouse=True)
def _as_before() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def test_a_library_that_writes_without_end_is_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("test", format_="text", level="info")
    for number in range(100):
        logging.getLogger("aiokafka.consumer.group_coordinator").error("cannot %s", number)
        logging.getLogger("chassis").error("ours %s", number)
    lines = capsys.readouterr().err.splitlines()
    assert sum("cannot" in line for line in lines) == 5
    assert sum("ours" in line for line in lines) == 100
