"""The result of one check."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    # Could not be checked from here: neither good nor bad.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was checked, what the check ``says``, and how to ``fix`` it when it is not ok."""

    what: str
    state: State
    says: str
    fix: str = ""


Look = Callable[[], AsyncIterator[Finding]]
Probe = Callable[[], Awaitable[None]]


def ok(what: str, says: str) -> Finding:
    return Finding(what, State.OK, says)


def wrong(what: str, says: str, fix: str) -> Finding:
    return Finding(what, State.WRONG, says, fix)


def skipped(what: str, says: str, fix: str) -> Finding:
    return Finding(what, State.SKIPPED, says, fix)
