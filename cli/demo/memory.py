"""Measure the peak memory of a process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SAMPLE_EVERY_S = 0.02


@dataclass(slots=True)
class Peak:
    """Memory before the measurement and at its peak, in bytes."""

    before: int = 0
    maximum: int = 0


@contextmanager
def watch_memory(rss_bytes: Callable[[], int]) -> Iterator[Peak]:
    """Sample ``rss_bytes`` until the block ends."""
    before = rss_bytes()
    peak, ended = Peak(before, before), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_EVERY_S):
            peak.maximum = max(peak.maximum, rss_bytes())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.maximum = max(peak.maximum, rss_bytes())
