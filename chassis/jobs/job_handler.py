"""What a service declares about each job kind it owns: its handler, and the event recorded when the job fails."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.jobs.progress import Progress
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection, Database
from contracts.message import Event

# The result of a job that a newer job of the same subject replaces.
SUPERSEDED = {"superseded": True}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a handler did: the job's ``result``, and the events to append to ``stream`` in its transaction.

    ``ended``: other jobs that the handler ended in the same transaction. Clients that wait for them are notified after
    the commit.
    """

    result: dict[str, Any]
    stream: str | None = None
    events: Sequence[Event] = ()
    ended: Sequence[UUID] = ()


Handle = Callable[[Connection, Claim], Awaitable[Outcome]]
Failed = Callable[[Claim, str], tuple[str, Event]]


@dataclass(frozen=True, slots=True)
class JobHandler:
    """How a service does one job kind.

    ``handle`` runs in the transaction of the effect and may run again after a failure.
    ``failed`` returns the stream and the event that record the failure.
    ``batchable``: event types whose jobs take a few milliseconds. Several queued jobs share a transaction.
    ``newest_wins``: event types of which only the newest queued job of a subject runs. It ends the older ones as
    superseded.
    """

    handle: Handle
    failed: Failed
    batchable: frozenset[str] = frozenset()
    newest_wins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StagedJobHandler:
    """A job kind with a part that must not run inside a writing transaction: a file, or a call to another system.

    ``stage`` does that part and yields the ``handle`` that makes it effective. Names of what it creates contain the
    claim's fencing token. It must clean up when an exception leaves the block: the handler failed, or the job was taken
    over or cancelled. If the connection was lost during the commit, the effect may still have been committed.
    """

    stage: Callable[[Database, Claim, Progress], AbstractAsyncContextManager[Handle]]
    failed: Failed
