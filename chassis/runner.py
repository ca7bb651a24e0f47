"""Does the jobs of one service: receives, claims, runs, retries, gives up. However the event came, this is its road."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid5

import structlog
from pydantic import ValidationError

from chassis import dead_letters, event_store, jobs, notify, telemetry, tracing
from chassis.database import Connection, Database
from chassis.errors import Contended, Fenced, Refused, Unavailable
from chassis.event_store import Cause
from chassis.jobs import Claim
from chassis.lease import holding
from chassis.progress import Progress
from chassis.retrying import until_database_is_back, while_contended
from chassis.work import Handle, LongWork, Work
from contracts.catalogue import UnknownEvent
from contracts.jobs import Job, Kind, Service, State, Via
from contracts.message import Event

# A job is given up at the sixth failure, whether it raised or its worker died.
MAX_ATTEMPTS = 6
# A bad release must not drain a topic into the dead letters. Released by a success of what was still running, or by
# starting the process again, which is what a mended release does: a redrive alone mends nothing.
BRAKE_AFTER_DEAD = 20
# Rescues what nobody woke us for: leases that ran out, jobs received by a process that died.
POLL_S = 1.0

log = structlog.get_logger()


class Runner:
    """Up to ``at_once`` jobs of ``service`` at a time, each in one transaction that its fencing number guards."""

    def __init__(
        self,
        database: Database,
        notifier: notify.Notifier,
        service: Service,
        work: Mapping[Kind, Work | LongWork],
        *,
        owner: str,
        at_once: int,
        lease_s: float,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self.service = service
        self._work: dict[str, Work | LongWork] = {kind.value: how for kind, how in work.items()}
        self._owner = owner
        self._free = at_once
        self._lease = timedelta(seconds=lease_s)
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._claiming = True
        self._dead_in_a_row = 0
        telemetry.BRAKE.labels(service).set(0)

    async def receive(self, ids: Sequence[UUID], via: Via) -> list[UUID]:
        """Take note that ``ids`` must be done, and begin at once if there is room (the same transaction).

        Not durable on purpose: what a crash forgets is still queued, and the sweep brings it again.
        Returns those that were new. Raises ``Unavailable`` when the database is away; nothing is then received.
        """
        slots = self._take_slots(len(ids))
        claims: list[Claim] = []
        try:
            async with self._database.transaction(durable=False) as connection:
                received = await jobs.receive(connection, self.service, ids, via)
                if received and slots:
                    claims = await self._claim(connection, slots)
        except BaseException:
            self._give_back(slots)
            raise
        self._start(claims, slots)
        if len(claims) < len(received):
            self._wake.set()
        for id_ in received:
            self._notifier.notify(notify.JOB, str(id_))
        return received

    async def read(self, job_id: UUID) -> Job | None:
        """The job as it stands; ``None`` when there is no such job."""
        async with self._database.connection() as connection:
            return await jobs.read(connection, job_id)

    async def run(self) -> None:
        """Claim and run until cancelled or stopped."""
        while self._claiming:
            self._wake.clear()
            try:
                slots = self._take_slots(self._free)
                if slots:
                    await self._claim_and_start(slots)
            except (Unavailable, Contended) as error:
                log.warning("runner.interrupted", reason=str(error))
            await _wait_for(self._wake, POLL_S)

    def stop_claiming(self) -> None:
        """Begin nothing more. Events are still received: they wait for a replica."""
        self._claiming = False
        self._wake.set()

    async def stop(self, grace_s: float) -> None:
        """Claim no more; let what runs finish within ``grace_s``; roll back the rest and give it back unspent."""
        self.stop_claiming()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def braked(self) -> bool:
        """Too many jobs died in a row: it claims no more. What the bus brings is still received, for whoever can."""
        return self._dead_in_a_row >= BRAKE_AFTER_DEAD

    @property
    def busy(self) -> int:
        """Jobs running now."""
        return len(self._running)

    def _take_slots(self, most: int) -> int:
        taken = min(self._free, most) if self._claiming and not self.braked else 0
        self._free -= taken
        return taken

    def _give_back(self, slots: int) -> None:
        self._free += slots

    async def _claim(self, connection: Connection, slots: int) -> list[Claim]:
        return await jobs.claim(connection, self.service, slots, owner=self._owner, lease=self._lease)

    async def _claim_and_start(self, slots: int) -> None:
        try:
            async with self._database.transaction(durable=False) as connection:
                claims = await self._claim(connection, slots)
        except BaseException:
            self._give_back(slots)
            raise
        self._start(claims, slots)

    def _start(self, claims: Sequence[Claim], slots: int) -> None:
        self._give_back(slots - len(claims))
        for claimed in claims:
            task = asyncio.create_task(self._run_one(claimed), name=f"job-{claimed.id}")
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._give_back(1)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("runner.bug", task=task.get_name(), exc_info=error)

    async def _run_one(self, claimed: Claim) -> None:
        with structlog.contextvars.bound_contextvars(
            job_id=str(claimed.id), correlation_id=claimed.metadata["correlation_id"]
        ):
            self._notifier.notify(notify.JOB, str(claimed.id))
            try:
                long = isinstance(self._work.get(claimed.kind), LongWork)
                progress = Progress(self._notifier) if long else None
                async with holding(self._database, claimed, self._lease, progress):
                    with _traced(claimed):
                        await self._settle(claimed, progress)
            except Fenced:
                log.warning("job.lost", attempts=claimed.attempts)
            except asyncio.CancelledError:
                await self._release(claimed)
                raise
            finally:
                self._notifier.notify(notify.JOB, str(claimed.id))
                self._notifier.notify(notify.OUTBOX)

    async def _settle(self, claimed: Claim, progress: Progress | None) -> None:
        try:
            if claimed.attempts >= MAX_ATTEMPTS:
                raise Refused(f"given up: the worker died {claimed.attempts - 1} times while doing this")
            if claimed.kind not in self._work:
                raise Refused(f"this release of {self.service} does not know how to do {claimed.kind!r}")
            await until_database_is_back(partial(self._attempt, claimed, progress))
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the job ends with its reason
            tracing.failed(error)
            await until_database_is_back(partial(self._give_up, claimed, error))
        else:
            self._count_dead(0)

    async def _attempt(self, claimed: Claim, progress: Progress | None) -> None:
        async with self._prepared(claimed, progress) as handle:
            # Again and again without preparing anew: what is prepared may be committed already.
            effect = partial(self._effect, claimed, handle)
            await until_database_is_back(partial(while_contended, effect, most=MAX_ATTEMPTS))

    def _prepared(self, claimed: Claim, progress: Progress | None) -> AbstractAsyncContextManager[Handle]:
        work = self._work[claimed.kind]
        if isinstance(work, Work):
            return nullcontext(work.handle)
        assert progress is not None
        return work.prepare(self._database, claimed, progress)

    async def _effect(self, claimed: Claim, handle: Handle) -> None:
        async with self._database.transaction() as connection:
            outcome = await handle(connection, claimed)
            if outcome.stream is not None:
                await self._append(connection, claimed, outcome.stream, outcome.events)
            await jobs.finish(connection, claimed, State.SUCCEEDED, result=outcome.result)
        for id_ in outcome.ended:
            self._notifier.notify(notify.JOB, str(id_))
        self._observe(claimed, State.SUCCEEDED)
        log.info("job.succeeded", kind=claimed.kind, attempts=claimed.attempts)

    async def _give_up(self, claimed: Claim, error: Exception) -> None:
        reason = _reason(error)
        told = self._told(claimed, reason)
        async with self._database.transaction() as connection:
            if told is not None:
                stream, event = told
                await self._append(connection, claimed, stream, [event])
            await jobs.finish(connection, claimed, State.FAILED, error=reason, dead=True)
            await dead_letters.copy(connection, self.service, claimed, reason)
        self._count_dead(self._dead_in_a_row + 1)
        telemetry.DEAD_LETTERS.labels(claimed.kind).inc()
        self._observe(claimed, State.FAILED)
        log.error("job.dead", kind=claimed.kind, reason=reason, exc_info=error)

    def _count_dead(self, in_a_row: int) -> None:
        was_braked, self._dead_in_a_row = self.braked, in_a_row
        telemetry.BRAKE.labels(self.service).set(self.braked)
        if self.braked and not was_braked:
            log.critical("runner.braked", dead_in_a_row=in_a_row)

    def _told(self, claimed: Claim, reason: str) -> tuple[str, Event] | None:
        """The event that tells of the failure; ``None`` when this build cannot even say that."""
        try:
            return self._work[claimed.kind].failed(claimed, reason)
        except Exception as error:
            log.error("job.failure_not_told", kind=claimed.kind, exc_info=error)
            return None

    async def _append(self, connection: Connection, claimed: Claim, stream: str, events: Sequence[Event]) -> None:
        cause = Cause(
            source=self.service,
            correlation_id=UUID(claimed.metadata["correlation_id"]),
            actor_id=claimed.metadata.get("actor_id"),
            causation_id=claimed.id,
            traceparent=tracing.traceparent(claimed.metadata.get("traceparent")),
        )
        # Derived from job and fence: a redriven job may fail, and succeed, again.
        await event_store.append(
            connection, stream, events, cause, expected_version=None,
            new_id=lambda ordinal: uuid5(claimed.id, f"{claimed.fence}/{ordinal}"),
        )  # fmt: skip

    async def _release(self, claimed: Claim) -> None:
        try:
            async with self._database.transaction() as connection:
                await jobs.release(connection, claimed)
        except Unavailable:
            log.warning("job.not_released")  # its lease will run out

    def _observe(self, claimed: Claim, state: State) -> None:
        elapsed = (datetime.now(UTC) - claimed.queued_at).total_seconds()
        telemetry.JOB_DURATION.labels(claimed.kind, claimed.via, state).observe(max(elapsed, 0))


def _traced(claimed: Claim) -> AbstractContextManager[object]:
    return tracing.span(
        f"do {claimed.kind}",
        "consumer",
        parent=claimed.metadata.get("traceparent"),
        attributes={
            "placewire.job.id": str(claimed.id),
            "placewire.job.subject": claimed.subject,
            "placewire.job.via": claimed.via.value,
            "placewire.job.attempts": claimed.attempts,
            "placewire.correlation_id": claimed.metadata["correlation_id"],
        },
    )


def _reason(error: Exception) -> str:
    """For people, and without anything internal."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, UnknownEvent | ValidationError):
        return "this release cannot read the event: it was written by a newer one"
    return f"internal error ({type(error).__name__})"


async def _wait_for(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
