"""Hold a job while it runs: renew its lease, report its progress, and cancel the work when the job is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_random_exponential

from chassis.errors import Contended, Fenced, Unavailable
from chassis.jobs import queue
from chassis.jobs.progress import EVERY_S, Progress
from chassis.jobs.queue import Claim
from chassis.jobs.retry import retry_while_unavailable
from chassis.observability.error_text import described
from chassis.postgres.database import Database

# Shorter than the time between the end of SHUTDOWN_GRACE_S and the SIGKILL of the orchestrator.
RELEASE_WITHIN_S = 5.0
RELEASE_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '1s'"

log = structlog.get_logger()


@dataclass(slots=True)
class Lease:
    """State of the lease. ``cut_off``: the last renewal failed because the database did not answer."""

    length: timedelta
    cut_off: bool = False


@asynccontextmanager
async def holding(
    database: Database, claimed: Claim, length: timedelta, progress: Progress | None = None
) -> AsyncIterator[Lease]:
    """Renew the lease of ``claimed`` three times per ``length`` while the block runs, and report ``progress``.

    If another worker takes the job over, or the job is ended, cancel the block and raise ``Fenced``.
    """
    task = asyncio.current_task()
    assert task is not None
    lost = asyncio.Event()
    lease = Lease(length)

    async def watch() -> None:
        await _until_lost(database, claimed, lease, progress)
        lost.set()
        task.cancel("lease lost")

    watching = asyncio.create_task(watch())
    try:
        yield lease
    except asyncio.CancelledError:
        if lost.is_set():
            task.uncancel()
            raise Fenced("another worker holds the job, or it has ended") from None
        raise
    finally:
        watching.cancel()


async def _until_lost(database: Database, claimed: Claim, lease: Lease, progress: Progress | None) -> None:
    clock = asyncio.get_running_loop().time
    renew_every_s = lease.length.total_seconds() / 3
    renew_at = clock() + renew_every_s
    held = True
    while held:
        await asyncio.sleep(renew_every_s if progress is None else min(EVERY_S, renew_every_s))
        try:
            async with database.connection() as connection:
                if clock() >= renew_at or progress is None:
                    held = await queue.renew(connection, claimed, lease.length)
                    renew_at = clock() + renew_every_s
                    lease.cut_off = lease.cut_off and not held
                elif progress is not None:
                    held = await progress.update(connection, claimed)
        except Unavailable as error:
            lease.cut_off = True
            log.warning("lease.not_renewed", reason=str(error))
        except Exception as error:  # noqa: BLE001 - after any error, the next renewal may succeed
            log.warning("lease.not_renewed", reason=described(error))


async def release(database: Database, claimed: Claim) -> None:
    """Return ``claimed`` to the queue without spending an attempt.

    Repeats while the row is locked or Postgres does not answer, for at most ``RELEASE_WITHIN_S``. Then it logs a
    warning, and the lease expires.
    """
    try:
        async with asyncio.timeout(RELEASE_WITHIN_S):
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((Contended, Unavailable)),
                stop=stop_never,
                wait=wait_random_exponential(multiplier=0.05, max=0.5),
            ):
                with attempt:
                    async with database.transaction() as connection:
                        await connection.execute(RELEASE_LOCK_TIMEOUT)
                        await queue.release(connection, claimed)
    except TimeoutError:
        log.warning("job.not_released", job_id=str(claimed.id), within_s=RELEASE_WITHIN_S)


async def return_attempt(database: Database, claimed: Claim) -> None:
    """Take back the attempt of a claim that was lost because Postgres did not answer.

    Takes it back exactly once, even if the answer to the commit is lost. Waits until the database answers.
    """
    transaction_id: str | None = None

    async def take_back() -> None:
        nonlocal transaction_id
        async with database.transaction() as connection:
            if transaction_id is None or not await queue.has_committed(connection, transaction_id):
                transaction_id = await queue.return_attempt(connection, claimed)

    await retry_while_unavailable(take_back)
