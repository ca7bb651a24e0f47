"""Holding a job while it is worked on: the lease is renewed, and losing it ends the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from chassis import jobs
from chassis.database import Database
from chassis.errors import Contended, Fenced, Unavailable
from chassis.jobs import Claim

log = structlog.get_logger()


@asynccontextmanager
async def holding(database: Database, claimed: Claim, lease: timedelta) -> AsyncIterator[None]:
    """Renew ``claimed`` three times a ``lease`` while the block lasts.

    Cancels the block, and raises ``Fenced`` out of it, when somebody else has taken the job over.
    """
    task = asyncio.current_task()
    assert task is not None
    lost = asyncio.Event()

    async def renew() -> None:
        while not lost.is_set():
            await asyncio.sleep(lease.total_seconds() / 3)
            try:
                async with database.connection() as connection:
                    if not await jobs.renew(connection, claimed, lease):
                        lost.set()
            except (Unavailable, Contended) as error:
                log.warning("lease.not_renewed", reason=str(error))
        task.cancel("lease lost")

    renewing = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost.is_set():
            task.uncancel()
            raise Fenced("the lease ran out") from None
        raise
    finally:
        renewing.cancel()
