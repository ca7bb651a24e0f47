"""Holding a job while it is worked on: the lease is renewed, progress is told, and losing the job ends the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from chassis import jobs
from chassis.database import Database
from chassis.errors import Fenced
from chassis.jobs import Claim
from chassis.progress import EVERY_S, Progress

log = structlog.get_logger()


@asynccontextmanager
async def holding(
    database: Database, claimed: Claim, lease: timedelta, progress: Progress | None = None
) -> AsyncIterator[None]:
    """Renew ``claimed`` three times a ``lease`` while the block lasts; with ``progress``, tell that in between.

    Cancels the block, and raises ``Fenced`` out of it, when somebody else has taken the job over, or ended it.
    """
    task = asyncio.current_task()
    assert task is not None
    lost = asyncio.Event()

    async def watch() -> None:
        await _until_lost(database, claimed, lease, progress)
        lost.set()
        task.cancel("lease lost")

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if lost.is_set():
            task.uncancel()
            raise Fenced("the job is somebody else's, or has ended") from None
        raise
    finally:
        watching.cancel()


async def _until_lost(database: Database, claimed: Claim, lease: timedelta, progress: Progress | None) -> None:
    clock = asyncio.get_running_loop().time
    renew_every_s = lease.total_seconds() / 3
    renew_at = clock() + renew_every_s
    held = True
    while held:
        await asyncio.sleep(renew_every_s if progress is None else min(EVERY_S, renew_every_s))
        try:
            async with database.connection() as connection:
                if clock() >= renew_at or progress is None:
                    held = await jobs.renew(connection, claimed, lease)
                    renew_at = clock() + renew_every_s
                elif progress is not None:
                    held = await progress.tell(connection, claimed)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next third of the lease is another chance
            log.warning("lease.not_renewed", reason=f"{type(error).__name__}: {error}")
