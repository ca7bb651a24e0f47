"""Remember which jobs a worker was woken for, and by which channel."""

import asyncio
from uuid import UUID

from contracts.jobs import Channel

# About 5 MiB. Older wake-ups are forgotten: their jobs are still claimed, but count as found by a poll.
REMEMBERED = 50_000


class Wakes:
    """The wake-ups of one worker. A wake-up is only a hint. The claim decides which worker runs which job."""

    def __init__(self) -> None:
        self._channels: dict[UUID, Channel] = {}
        self._event = asyncio.Event()
        self.pending = False

    def wake(self, job_id: UUID, channel: Channel) -> None:
        """Make the worker claim as soon as it has a free slot. Never blocks, never raises."""
        self._channels.setdefault(job_id, channel)
        if len(self._channels) > REMEMBERED:
            del self._channels[next(iter(self._channels))]
        self.pending = True
        self._event.set()

    def slot_is_free(self) -> None:
        """Make the worker claim now, if a wake-up came while it was busy, or if more jobs may be queued."""
        if self.pending:
            self._event.set()

    def interrupt(self) -> None:
        """End the current ``wait`` without a wake-up."""
        self._event.set()

    def channel_of(self, job_id: UUID) -> Channel:
        """Return what woke the worker for the job first; ``POLL`` when nothing did."""
        return self._channels.get(job_id, Channel.POLL)

    def forget(self, job_id: UUID) -> None:
        """Forget a job that has ended."""
        self._channels.pop(job_id, None)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a wake-up or a free slot, at most ``timeout_s``. Return false after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
