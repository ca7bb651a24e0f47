"""Handle SIGTERM and SIGINT while servers run, so that the starter's ``finally`` runs completely."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM raise ``KeyboardInterrupt`` in the block, like SIGINT. By default it ends the program at once."""
    with _handlers({signal.SIGTERM: _interrupt}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore SIGTERM and SIGINT in the block, so that processes are stopped completely."""
    with _handlers({signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_IGN}):
        yield


@contextmanager
def _handlers(wanted: dict[signal.Signals, Any]) -> Iterator[None]:
    # Only the main thread may set them; only there can they be raised.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
