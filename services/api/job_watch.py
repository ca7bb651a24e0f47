"""Wake the requests of this process that wait for a job whenever any process changes that job."""

import asyncio
from collections import defaultdict
from uuid import UUID

from chassis.jobs import queue
from chassis.postgres import notify
from chassis.postgres.database import Database
from contracts.jobs import Job

# A lost connection loses notifications, so each waiting request also reads its job at this interval.
LOOK_EVERY_S = 1.0
# Limit on requests that wait, because each reads its job every second. Further requests get the current state at once.
MAX_WAITING = 200


class JobWatch:
    channel = notify.JOB

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._closing = False
        self._waiting_for_end = 0

    def close(self) -> None:
        """End all waiting: waiting requests return the current state of their jobs."""
        self._closing = True
        self.connected()

    def noticed(self, job_id: str) -> None:
        for event in self._waiting.get(job_id, ()):
            event.set()

    def connected(self) -> None:
        for job_id in self._waiting:
            self.noticed(job_id)

    def lost(self) -> None:
        """Do nothing: waiting requests do not depend on notifications alone."""

    async def read(self, job_id: UUID) -> Job | None:
        async with self._database.connection() as connection:
            return await queue.read(connection, job_id)

    async def after(self, job_id: UUID, seen: Job | None, *, within_s: float) -> Job | None:
        """Return the job once it differs from ``seen``, at the latest after ``within_s``. ``None``: no such job."""
        changed = asyncio.Event()
        self._waiting[str(job_id)].add(changed)
        deadline = asyncio.get_running_loop().time() + within_s
        try:
            while True:
                changed.clear()
                job = await self.read(job_id)
                remaining_s = deadline - asyncio.get_running_loop().time()
                if job is None or job != seen or remaining_s <= 0 or self._closing:
                    return job
                try:
                    async with asyncio.timeout(min(remaining_s, LOOK_EVERY_S)):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            waiting = self._waiting[str(job_id)]
            waiting.discard(changed)
            if not waiting:
                del self._waiting[str(job_id)]

    async def ended(self, job_id: UUID, *, within_s: float) -> Job | None:
        """Return the job once it has ended, at the latest after ``within_s``. ``None``: no such job.

        If ``MAX_WAITING`` requests wait already, return the job at once.
        """
        self._waiting_for_end += 1
        try:
            too_many = self._waiting_for_end > MAX_WAITING
            return await self._ended(job_id, within_s=0 if too_many else within_s)
        finally:
            self._waiting_for_end -= 1

    async def _ended(self, job_id: UUID, *, within_s: float) -> Job | None:
        deadline = asyncio.get_running_loop().time() + within_s
        job = await self.read(job_id)
        while job is not None and not job.state.ended:
            remaining_s = deadline - asyncio.get_running_loop().time()
            if remaining_s <= 0 or self._closing:
                break
            job = await self.after(job_id, job, within_s=remaining_s)
        return job
