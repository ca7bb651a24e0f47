"""What is written, and how much of it."""

import logging

import pytest

from chassis import telemetry


def test_a_noisy_library_is_cut_short_and_nobody_else(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        telemetry.set_up_logs("test", format_="text", level="info")
        for number in range(50):
            # Libraries log through loggers below their own name.
            logging.getLogger("aiokafka.conn").warning("noise %s", number)
            logging.getLogger("chassis.relay").warning("ours %s", number)
    finally:
        root.handlers, root.level = before
    written = capfd.readouterr().err
    assert written.count("noise") == 5
    assert written.count("ours") == 50
