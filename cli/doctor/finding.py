"""One thing that was looked at, in plain words."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    # Could not be looked at from here: neither good nor bad.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was looked at, what it ``says``, and how to ``mend`` it where it is not ok."""

    what: str
    state: State
    says: str
    mend: str = ""


Look = Callable[[], AsyncIterator[Finding]]
Probe = Callable[[], Awaitable[None]]


def ok(what: str, says: str) -> Finding:
    return Finding(what, State.OK, says)


def wrong(what: str, says: str, mend: str) -> Finding:
    return Finding(what, State.WRONG, says, mend)


def skipped(what: str, says: str, mend: str) -> Finding:
    return Finding(what, State.SKIPPED, says, mend)
