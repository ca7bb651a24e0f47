"""What a service says about the jobs it owns: how each kind is done, and what is told when it is given up."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.database import Connection, Database
from chassis.jobs import Claim
from chassis.progress import Progress
from contracts.message import Event

# The result of a job whose effect a newer one has, or will have.
SUPERSEDED = {"superseded": True}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a handler did: the events to append to ``stream`` in its transaction, and what the job's reader is told.

    ``ended``: other jobs that it ended in its transaction. Whoever waits for one is told after the commit.
    """

    result: dict[str, Any]
    stream: str | None = None
    events: Sequence[Event] = ()
    ended: Sequence[UUID] = ()


Handle = Callable[[Connection, Claim], Awaitable[Outcome]]
Failed = Callable[[Claim, str], tuple[str, Event]]


@dataclass(frozen=True, slots=True)
class Work:
    """One job kind as its service does it.

    ``handle`` runs in the transaction of the effect and may run again after a failure.
    ``failed`` makes the stream and the event that tell everyone the job was given up.
    ``small``: types of events whose jobs take a few milliseconds; several of those that wait share a transaction.
    ``newest_wins``: types of events of which only the newest queued job of a subject runs; older ones end with it,
    superseded.
    """

    handle: Handle
    failed: Failed
    small: frozenset[str] = frozenset()
    newest_wins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LongWork:
    """One job kind of which a part must not wait inside a writing transaction: a file, a call to somebody else.

    ``prepare`` does that part under names that hold the claim's fencing number, and gives the ``handle`` that makes
    it count. What is raised out of it (the effect failed, the job was taken over or cancelled) is for it to tidy up
    after; the effect may have been committed all the same, when the connection was lost in the commit itself.
    """

    prepare: Callable[[Database, Claim, Progress], AbstractAsyncContextManager[Handle]]
    failed: Failed
