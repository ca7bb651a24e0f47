"""The result of one check."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    # Could not be checked with the given settings.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. ``what``: the checked area. ``fix``: what the operator should do, unless all is ok."""

    what: str
    state: State
    message: str
    fix: str = ""


def ok(what: str, message: str) -> Finding:
    return Finding(what, State.OK, message)


def wrong(what: str, message: str, fix: str) -> Finding:
    return Finding(what, State.WRONG, message, fix)


def skipped(what: str, message: str, fix: str) -> Finding:
    return Finding(what, State.SKIPPED, message, fix)
