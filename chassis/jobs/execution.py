"""Run claimed jobs: effect, event and the job's end in one transaction, with retries and dead letters."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import structlog
from pydantic import ValidationError

from chassis.errors import DomainError, Fenced, OutcomeUnknown, Outdated, RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Addition, Cause
from chassis.jobs import dead_letters, queue
from chassis.jobs.attempts import MAX_ATTEMPTS, Attempts
from chassis.jobs.failure_limit import FailureLimit
from chassis.jobs.job_handler import SUPERSEDED, Handle, JobHandler, Outcome, StagedJobHandler
from chassis.jobs.lease import Lease, holding, release, return_attempt
from chassis.jobs.progress import Progress
from chassis.jobs.queue import Claim
from chassis.jobs.retry import retry_unless_job_is_the_cause, retry_while_unavailable
from chassis.jobs.wakes import Wakes
from chassis.observability import metrics, tracing
from chassis.postgres import notify
from chassis.postgres.database import Connection, Database
from contracts.catalogue import UnknownEvent
from contracts.jobs import Channel, Service, State
from contracts.message import Event

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '1s'"

log = structlog.get_logger()


class Execution:
    """Runs the claimed jobs of ``service``. A claim's fencing token guards its transaction."""

    def __init__(
        self,
        database: Database,
        notifier: notify.Notifier,
        service: Service,
        handlers: Mapping[str, JobHandler | StagedJobHandler],
        *,
        lease: timedelta,
        failure_limit: FailureLimit,
        wakes: Wakes,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._service = service
        self._handlers = handlers
        self._lease = lease
        self._failure_limit = failure_limit
        self._wakes = wakes

    async def run(self, claimed: Claim) -> None:
        """Run one job until it ends. When cancelled, return it to the queue without spending an attempt."""
        attempts, lease = Attempts(self._database, claimed), Lease(self._lease)
        with _bound(claimed):
            self._notifier.defer(notify.JOB, str(claimed.id))
            try:
                staged = isinstance(self._handlers.get(claimed.kind), StagedJobHandler)
                progress = Progress(self._notifier) if staged else None
                async with holding(self._database, claimed, self._lease, progress) as lease:
                    with _traced(claimed):
                        await self._settle(claimed, attempts, progress)
            except Fenced:
                await retry_while_unavailable(partial(self._report_lost, claimed, attempts, lease))
            except asyncio.CancelledError:
                await release(self._database, claimed)
                raise
            finally:
                self._wakes.forget(claimed.id)
                self._notifier.notify(notify.JOB, str(claimed.id))
                self._notifier.defer(notify.OUTBOX)  # later, so that the relay sends the next request for work first

    async def run_together(self, claims: Sequence[Claim]) -> None:
        """Run batchable jobs in one transaction. If it fails, it is rolled back, and each job runs alone."""
        remaining = list(claims)
        try:
            try:
                await self._effects(claims)
            except Exception as error:  # noqa: BLE001 - run alone, each job ends as it would without the others
                log.warning("batch.split", jobs=len(claims), reason=type(error).__name__)
                while remaining:
                    await self._run_alone(remaining.pop(0))
        except asyncio.CancelledError:
            await asyncio.gather(*(release(self._database, claimed) for claimed in remaining))
            raise

    async def _run_alone(self, claimed: Claim) -> None:
        try:
            await self.run(claimed)
        except Exception as error:
            log.error("job.interrupted", job_id=str(claimed.id), exc_info=error)  # its lease expires

    async def _effects(self, claims: Sequence[Claim]) -> None:
        ended = [claimed.id for claimed in claims]
        try:
            async with self._database.transaction() as connection:
                results: list[tuple[Claim, Channel, dict[str, Any]]] = []
                additions: list[Addition] = []
                # The leases are not renewed, and the jobs keep their locks. If one must wait, each job runs alone.
                await connection.execute(LOCK_TIMEOUT)
                # The same order in every worker avoids deadlocks between workers that need the same locks.
                for claimed in sorted(claims, key=lambda claimed: claimed.subject):
                    if results and results[-1][0].subject == claimed.subject:
                        await event_store.append_all(connection, additions)  # this job may read their effect
                        additions = []
                    handler = self._handlers[claimed.kind]
                    assert isinstance(handler, JobHandler)
                    with _bound(claimed), _traced(claimed):
                        outcome, replaced = await self._handled(connection, claimed, handler.handle)
                        additions += self._additions(claimed, outcome.stream, outcome.events)
                    results.append((claimed, self._wakes.channel_of(claimed.id), outcome.result))
                    ended += [*outcome.ended, *replaced]
                await queue.succeed(connection, results, additions)
        except OutcomeUnknown:
            if not await self._has_committed(claims[0]):  # one transaction: all committed, or none
                raise
        for id_ in ended:
            self._notifier.notify(notify.JOB, str(id_))
        self._notifier.defer(notify.OUTBOX)
        for claimed in claims:
            self._succeeded(claimed)
            self._wakes.forget(claimed.id)

    async def _settle(self, claimed: Claim, attempts: Attempts, progress: Progress | None) -> None:
        try:
            attempts.require_left()
            if claimed.kind not in self._handlers:
                raise RuleViolation(f"this release of {self._service} does not know how to do {claimed.kind!r}")
            handler = self._handlers[claimed.kind]
            if isinstance(handler, JobHandler):
                await self._effect_with_retries(claimed, attempts, handler.handle)
            else:
                assert progress is not None
                attempt = partial(self._attempt, claimed, attempts, handler, progress)
                await retry_unless_job_is_the_cause(
                    partial(attempts.retry, attempt), self._database, max_attempts=MAX_ATTEMPTS
                )
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - after any error, the job ends with its reason
            tracing.failed(error)
            await retry_while_unavailable(partial(self._give_up, claimed, attempts, error))

    async def _attempt(self, claimed: Claim, attempts: Attempts, handler: StagedJobHandler, progress: Progress) -> None:
        while True:
            try:
                async with handler.stage(self._database, claimed, progress) as handle:
                    # Repeats do not stage again, because the staged part may be committed already.
                    await self._effect_with_retries(claimed, attempts, handle)
                return
            except Outdated as error:
                log.info("job.staged_again", reason=str(error))  # no failure of the job: no attempt is spent

    async def _effect_with_retries(self, claimed: Claim, attempts: Attempts, handle: Handle) -> None:
        effect = partial(attempts.retry, partial(self._effect, claimed, attempts, handle))
        await retry_unless_job_is_the_cause(effect, self._database, max_attempts=MAX_ATTEMPTS)

    async def _effect(self, claimed: Claim, attempts: Attempts, handle: Handle) -> None:
        ended: Sequence[UUID] = ()
        try:
            async with self._database.transaction() as connection:
                outcome, replaced = await self._handled(connection, claimed, handle)
                additions = self._additions(claimed, outcome.stream, outcome.events)
                channel = self._wakes.channel_of(claimed.id)
                await queue.succeed(connection, [(claimed, channel, outcome.result)], additions)
                ended = [*outcome.ended, *replaced]
        except OutcomeUnknown:
            if not await self._has_committed(claimed):
                raise
        for id_ in ended:
            self._notifier.notify(notify.JOB, str(id_))
        attempts.settled = True
        self._succeeded(claimed)

    @staticmethod
    async def _handled(connection: Connection, claimed: Claim, handle: Handle) -> tuple[Outcome, Sequence[UUID]]:
        """Handle the job. Return its outcome, and the older jobs that ended with it because it replaces them."""
        outcome = await handle(connection, claimed)
        if not claimed.older_ids:
            return outcome, ()
        return outcome, await queue.absorb(connection, claimed.older_ids, SUPERSEDED)

    async def _has_committed(self, claimed: Claim) -> bool:
        """Return whether the transaction on the lost connection committed. Waits until the database answers."""
        ends: list[tuple[State, str | None] | None] = []

        async def read_end() -> None:
            async with self._database.connection() as connection:
                ends.append(await queue.end_of(connection, claimed))

        await retry_while_unavailable(read_end)
        return ends[-1] is not None

    async def _report_lost(self, claimed: Claim, attempts: Attempts, lease: Lease) -> None:
        """Report the outcome of a job that this worker no longer holds. The worker's own commit may have ended it."""
        if attempts.settled:
            return
        async with self._database.connection() as connection:
            end = await queue.end_of(connection, claimed)
        if end is None and lease.cut_off:
            await return_attempt(self._database, claimed)
        match end:
            case (State.FAILED, error):
                self._failed(claimed, error or "")
            case (_, _):
                self._succeeded(claimed)
            case None:
                log.warning("job.lost", attempts=claimed.attempts, database_was_away=lease.cut_off)

    def _succeeded(self, claimed: Claim) -> None:
        self._failure_limit.succeeded()
        self._observe(claimed, State.SUCCEEDED)
        log.info("job.succeeded", job_id=str(claimed.id), kind=claimed.kind, attempts=claimed.attempts)

    async def _give_up(self, claimed: Claim, attempts: Attempts, error: Exception) -> None:
        reason = _reason(error)
        failure_event = self._failure_event(claimed, reason)
        async with self._database.transaction() as connection:
            if failure_event is not None:
                stream, event = failure_event
                await event_store.append_all(connection, self._additions(claimed, stream, [event]))
            await queue.limit_attempts(connection, claimed, MAX_ATTEMPTS)
            channel = self._wakes.channel_of(claimed.id)
            await queue.finish(connection, claimed, channel, State.FAILED, error=reason, dead_lettered=True)
            await dead_letters.copy(connection, self._service, claimed, reason)
        attempts.settled = True
        self._failed(claimed, reason, error)

    def _failed(self, claimed: Claim, reason: str, error: Exception | None = None) -> None:
        self._failure_limit.failed()
        metrics.DEAD_LETTERS.labels(claimed.kind).inc()
        self._observe(claimed, State.FAILED)
        log.error("job.dead_lettered", kind=claimed.kind, reason=reason, exc_info=error)

    def _failure_event(self, claimed: Claim, reason: str) -> tuple[str, Event] | None:
        """Return the stream and the failure event of a job, or ``None`` when this release cannot create it."""
        try:
            return self._handlers[claimed.kind].failed(claimed, reason)
        except Exception as error:
            log.error("job.failure_event_not_created", kind=claimed.kind, exc_info=error)
            return None

    def _additions(self, claimed: Claim, stream: str | None, events: Sequence[Event]) -> list[Addition]:
        if stream is None:
            return []
        cause = Cause(
            source=self._service,
            correlation_id=UUID(claimed.metadata["correlation_id"]),
            actor_id=claimed.metadata.get("actor_id"),
            causation_id=claimed.id,
            traceparent=tracing.traceparent(claimed.metadata.get("traceparent")),
        )
        return [Addition(stream, events, cause, partial(_id_of_result, claimed))]

    def _observe(self, claimed: Claim, state: State) -> None:
        elapsed = (datetime.now(UTC) - claimed.queued_at).total_seconds()
        channel = self._wakes.channel_of(claimed.id)
        metrics.JOB_DURATION.labels(claimed.kind, channel, state).observe(max(elapsed, 0))


def _id_of_result(claimed: Claim, ordinal: int) -> UUID:
    # The same id when this claim repeats its transaction. Another claim gets another id: a redriven job may fail again.
    return uuid5(claimed.id, f"{claimed.fence}/{ordinal}")


def _bound(claimed: Claim) -> AbstractContextManager[object]:
    return structlog.contextvars.bound_contextvars(
        job_id=str(claimed.id), correlation_id=claimed.metadata["correlation_id"]
    )


def _traced(claimed: Claim) -> AbstractContextManager[object]:
    return tracing.span(
        f"do {claimed.kind}",
        "consumer",
        parent=claimed.metadata.get("traceparent"),
        attributes={
            "placewire.job.id": str(claimed.id),
            "placewire.job.subject": claimed.subject,
            "placewire.job.attempts": claimed.attempts,
            "placewire.correlation_id": claimed.metadata["correlation_id"],
        },
    )


def _reason(error: Exception) -> str:
    """Return the reason as shown to users, without internal details."""
    if isinstance(error, DomainError):
        return str(error)
    if isinstance(error, UnknownEvent | ValidationError):
        return "this release cannot read the event: it was written by a newer one"
    return f"internal error ({type(error).__name__})"
