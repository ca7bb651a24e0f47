"""The result of one check."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    # Could not be checked with the given settings.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was checked, the ``message`` of the check, and how to ``fix`` it when it is not ok."""

    what: str
    state: State
    message: str
    fix: str = ""


Look = Callable[[], AsyncIterator[Finding]]
Probe = Callable[[], Awaitable[None]]


def ok(what: str, message: str) -> Finding:
    return Finding(what, State.OK, message)


def wrong(what: str, message: str, fix: str) -> Finding:
    return Finding(what, State.WRONG, message, fix)


def skipped(what: str, message: str, fix: str) -> Finding:
    return Finding(what, State.SKIPPED, message, fix)
