"""Brings the jobs of one service to their execution: receives and claims. However the event came, this is its road."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog

from chassis import jobs, notify
from chassis.database import Database
from chassis.errors import Contended, Unavailable
from chassis.execution import Execution
from chassis.failure_limit import FailureLimit
from chassis.jobs import Claim, Taker
from chassis.work import LongWork, Work
from contracts.jobs import Job, Kind, Service, Via

# So many small jobs share a transaction, and its wait for the disk.
TOGETHER = 8
# Rescues what nobody woke us for: leases that ran out, jobs received by a process that died.
POLL_S = 1.0

log = structlog.get_logger()


class Runner:
    """Up to ``at_once`` transactions of ``service`` at a time: each does one job, or, of small ones, several."""

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
        paused_retry_s: float,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self.service = service
        small = frozenset[str]().union(*(how.small for how in work.values() if isinstance(how, Work)))
        self._taker = Taker(service, owner, timedelta(seconds=lease_s), small, TOGETHER)
        self._free = at_once
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._claiming = True
        self._more_may_wait = False
        self._failure_limit = FailureLimit(service, retry_every_s=paused_retry_s)
        self._execution = Execution(
            database,
            notifier,
            service,
            {kind.value: how for kind, how in work.items()},
            lease=self._taker.lease,
            failure_limit=self._failure_limit,
        )

    async def receive(self, ids: Sequence[UUID], via: Via) -> list[UUID]:
        """Take note that ``ids`` must be done, and begin at once if there is room (the same transaction).

        Not durable on purpose: what a crash forgets is still queued, and the sweep brings it again.
        Returns those that were new. Raises ``Unavailable`` when the database is away; nothing is then received.
        """
        received, claims = await self._take(self._take_slots(len(ids)), ids, via)
        if set(received) - {claimed.id for claimed in claims}:
            self._more_may_wait = True
            self._wake.set()
        for id_ in received:
            self._notifier.defer(notify.JOB, str(id_))
        return received

    async def read(self, job_id: UUID) -> Job | None:
        """The job as it stands; ``None`` when there is no such job."""
        async with self._database.connection() as connection:
            return await jobs.read(connection, job_id)

    async def run(self) -> None:
        """Claim and run jobs until cancelled or stopped. While paused: one job each time a retry is due."""
        while self._claiming:
            self._wake.clear()
            try:
                if self.paused:
                    await self._retry_one()
                elif slots := self._take_slots(self._free):
                    _, claims = await self._take(slots)
                    self._more_may_wait = len(claims) >= slots
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
    def paused(self) -> bool:
        """Return whether too many jobs failed in a row. Jobs are still received, so another replica can run them."""
        return self._failure_limit.paused

    @property
    def busy(self) -> int:
        """Jobs running now."""
        return len(self._running)

    def _take_slots(self, most: int) -> int:
        taken = min(self._free, most) if self._claiming and not self.paused else 0
        self._free -= taken
        return taken

    def _give_back(self, slots: int) -> None:
        self._free += slots

    async def _retry_one(self) -> None:
        """Claim one job if a retry is due. Its success ends the pause, and the next round claims as usual."""
        self._more_may_wait = True
        if self._free and self._failure_limit.retry_is_due:
            self._free -= 1
            _, claims = await self._take(1, taker=replace(self._taker, together=1))
            if claims:
                self._failure_limit.retry_began()

    async def _take(
        self,
        slots: int,
        ids: Sequence[UUID] | None = None,
        via: Via | None = None,
        *,
        taker: Taker | None = None,
    ) -> tuple[list[UUID], list[Claim]]:
        try:
            async with self._database.connection() as connection:
                received, claims = await jobs.take(connection, taker or self._taker, slots, ids, via)
        except BaseException:
            self._give_back(slots)
            raise
        self._start(claims, slots)
        return received, claims

    def _shares(self, claimed: Claim) -> bool:
        # What has failed before, or killed its worker, does not take others with it again.
        return claimed.type in self._taker.small and claimed.attempts == 1

    def _start(self, claims: Sequence[Claim], slots: int) -> None:
        small = [claimed for claimed in claims if self._shares(claimed)]
        # As many as the slots that are left for them; each as full as the others.
        groups = min(len(small), slots - (len(claims) - len(small)))
        parts = [[claimed] for claimed in claims if not self._shares(claimed)]
        parts += [small[number::groups] for number in range(groups)]
        self._give_back(slots - len(parts))
        for part in parts:
            doing = self._execution.run(part[0]) if len(part) == 1 else self._execution.run_together(part)
            task = asyncio.create_task(doing, name=f"job-{part[0].id}")
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._give_back(1)
        if self._more_may_wait:
            self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("runner.bug", task=task.get_name(), exc_info=error)


async def _wait_for(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
