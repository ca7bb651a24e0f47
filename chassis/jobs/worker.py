"""Claim the jobs of one service and run them. All channels call ``wake``; the worker also polls."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog

from chassis.errors import Contended, Unavailable
from chassis.jobs import queue
from chassis.jobs.execution import Execution
from chassis.jobs.failure_limit import FailureLimit
from chassis.jobs.job_handler import JobHandler, StagedJobHandler
from chassis.jobs.queue import Claim, ClaimPolicy
from chassis.jobs.wakes import Wakes
from chassis.postgres import notify
from chassis.postgres.database import Database
from contracts.jobs import Channel, Kind, Service

# Up to this many batchable jobs share one transaction and its commit. With 32, a queue drains 1.5 times as fast as
# with 8 (`make bench`, effect_drain).
BATCH_SIZE = 32
# Polling finds jobs for which no wake-up came: a lost record, an expired lease, a job queued while no worker ran.
POLL_S = 1.0
IDLE_POLL_S = 5.0
# A worker is idle after this many consecutive polls that found no job.
EMPTY_POLLS_TO_IDLE = 100

log = structlog.get_logger()


class Worker:
    """Runs up to ``at_once`` transactions of ``service`` at a time: each does one job, or several batchable ones.

    ``bus_is_healthy`` returns whether probes reach this process through Kafka. If so, an idle worker polls less often.
    """

    def __init__(
        self,
        database: Database,
        notifier: notify.Notifier,
        service: Service,
        handlers: Mapping[Kind, JobHandler | StagedJobHandler],
        *,
        owner: str,
        at_once: int,
        lease_s: float,
        paused_retry_s: float,
    ) -> None:
        self._database = database
        self.service = service
        plain = [handler for handler in handlers.values() if isinstance(handler, JobHandler)]
        self._policy = ClaimPolicy(
            service,
            owner,
            timedelta(seconds=lease_s),
            batchable=frozenset[str]().union(*(handler.batchable for handler in plain)),
            batch_size=BATCH_SIZE,
            newest_wins=frozenset[str]().union(*(handler.newest_wins for handler in plain)),
        )
        self._free = at_once
        self._wakes = Wakes()
        self.bus_is_healthy: Callable[[], bool] = lambda: False
        self._empty_polls = 0
        self._running: set[asyncio.Task[None]] = set()
        self._claiming = True
        self._failure_limit = FailureLimit(service, retry_every_s=paused_retry_s)
        self._execution = Execution(
            database,
            notifier,
            service,
            {kind.value: handler for kind, handler in handlers.items()},
            lease=self._policy.lease,
            failure_limit=self._failure_limit,
            wakes=self._wakes,
        )

    def wake(self, job_id: UUID, channel: Channel) -> None:
        """Claim as soon as a slot is free, because ``job_id`` is probably queued. Never blocks, never raises.

        If the job has ended, or another replica runs it, the wake-up costs one claim that finds nothing.
        """
        self._wakes.wake(job_id, channel)

    async def run(self) -> None:
        """Claim and run jobs until cancelled or stopped. While paused, claim one job each time a retry is due."""
        while self._claiming:
            try:
                if self.paused:
                    claimed = await self._retry_one()
                else:
                    claimed = not self._free or await self._claim(self._free)
                self._empty_polls = 0 if claimed else self._empty_polls + 1
            except (Unavailable, Contended) as error:
                log.warning("worker.interrupted", reason=str(error))
            if await self._wakes.wait(self._pause_s()):
                self._empty_polls = 0

    def stop_claiming(self) -> None:
        """Stop claiming jobs. Queued jobs wait for another replica."""
        self._claiming = False
        self._wakes.interrupt()

    async def stop(self, grace_s: float) -> None:
        """Stop claiming jobs. Wait ``grace_s`` for running jobs, then release the rest without spending an attempt."""
        self.stop_claiming()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def paused(self) -> bool:
        """Return whether too many jobs failed in a row. Other replicas can still run the queued jobs."""
        return self._failure_limit.paused

    @property
    def busy(self) -> int:
        """Return the number of transactions that are running."""
        return len(self._running)

    def _pause_s(self) -> float:
        idle = self._empty_polls >= EMPTY_POLLS_TO_IDLE and self.bus_is_healthy()
        # Jitter keeps replicas that started together from polling together.
        return (IDLE_POLL_S if idle else POLL_S) * random.uniform(0.7, 1.0)  # noqa: S311

    async def _claim(self, slots: int, policy: ClaimPolicy | None = None) -> bool:
        """Claim and start jobs for ``slots`` free slots. Return whether any job was claimed."""
        self._free -= slots
        self._wakes.pending = False
        try:
            async with self._database.connection() as connection:
                claims = await queue.claim(connection, policy or self._policy, slots)
        except BaseException:
            self._free += slots
            self._wakes.pending = True
            raise
        if len(claims) >= slots:
            self._wakes.pending = True  # more jobs may be queued than this process has slots for
        self._start(claims, slots)
        return bool(claims)

    async def _retry_one(self) -> bool:
        """Claim one job if a retry is due. Its success ends the pause, and the next round claims as usual."""
        if not self._free or not self._failure_limit.retry_is_due:
            return False
        claimed = await self._claim(1, replace(self._policy, batch_size=1))
        if claimed:
            self._failure_limit.retry_began()
        return claimed

    def _may_share(self, claimed: Claim) -> bool:
        # A job that failed before, or whose worker died, runs alone: in a batch it could cost other jobs an attempt.
        return claimed.type in self._policy.batchable and claimed.attempts == 1

    def _start(self, claims: Sequence[Claim], slots: int) -> None:
        parts = [[claimed] for claimed in claims if not self._may_share(claimed)]
        batchable = [claimed for claimed in claims if self._may_share(claimed)]
        parts += _spread(batchable, min(len(batchable), slots - len(parts)))
        self._free += slots - len(parts)
        for part in parts:
            execution = self._execution.run(part[0]) if len(part) == 1 else self._execution.run_together(part)
            task = asyncio.create_task(execution, name=f"job-{part[0].id}")
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free += 1
        self._wakes.slot_is_free()
        if not task.cancelled() and (error := task.exception()):
            log.error("worker.task_failed", task=task.get_name(), exc_info=error)


def _spread(claims: Sequence[Claim], limit: int) -> list[list[Claim]]:
    """Divide ``claims`` into at most ``limit`` parts of similar size. Jobs of one subject stay together.

    If jobs of one subject ran in two transactions, the second would wait for the first one's lock on the subject.
    """
    by_subject: dict[str, list[Claim]] = {}
    for claimed in claims:
        by_subject.setdefault(claimed.subject, []).append(claimed)
    parts: list[list[Claim]] = [[] for _ in range(limit)]
    for jobs in sorted(by_subject.values(), key=len, reverse=True):
        min(parts, key=len).extend(jobs)
    return [part for part in parts if part]
