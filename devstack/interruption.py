"""Handle SIGTERM and SIGINT while servers run, so that the program that started them can stop them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM raise ``KeyboardInterrupt`` in the block, as SIGINT does. By default it ends the program at once."""
    with _handlers({signal.SIGTERM: _interrupt}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore SIGTERM and SIGINT in the block, so that processes are stopped completely."""
    with _handlers({signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_IGN}):
        yield


@contextmanager
def _handlers(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    # Only the main thread may set handlers, and only the main thread runs them.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
