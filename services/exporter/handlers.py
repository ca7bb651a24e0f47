"""Write a file, and record that it is there. Called by the runner, whichever road the event took."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from chassis import jobs, telemetry
from chassis.database import Connection, Database
from chassis.errors import Contended, Refused, StorageFailed, Unavailable
from chassis.jobs import Claim
from chassis.progress import Progress
from chassis.storage import Storage
from chassis.work import Handle, LongWork, Outcome
from contracts.exports import ExportFormat, ExportRequested
from contracts.files import export_path
from contracts.message import Event
from services.exporter import csv_file, decider, sql, xlsx_file
from services.exporter.decider import Made

FILES = {ExportFormat.CSV: csv_file.write, ExportFormat.XLSX: xlsx_file.write}

log = structlog.get_logger()


def work(storage: Storage, *, tries: int, kept_s: float) -> LongWork:
    """``tries`` times a file is begun while the storage refuses it; it can be downloaded for ``kept_s``."""
    return LongWork(prepare=partial(prepare, storage, tries, timedelta(seconds=kept_s)), failed=failed)


@asynccontextmanager
async def prepare(
    storage: Storage, tries: int, kept: timedelta, database: Database, claimed: Claim, progress: Progress
) -> AsyncIterator[Handle]:
    """The whole file under a name that nobody knows yet; the handle makes it known.

    When that does not come to pass the file is deleted. Raises ``Refused`` when the storage will not have it.
    """
    asked = request_of(claimed)
    making = partial(_make, storage, database, claimed.fence, asked, progress)
    made = await _while_storage_refuses(making, tries)
    try:
        async with database.connection() as connection:  # by itself: the effect takes the stream before the job
            await jobs.tell(connection, claimed, {"rows": made.rows})
        yield partial(complete, made, kept)
    except BaseException:
        await _forget_unless_recorded(storage, database, asked, made.path)
        raise


async def complete(made: Made, kept: timedelta, _connection: Connection, claimed: Claim) -> Outcome:
    """What makes the file known."""
    event, told = decider.completed(request_of(claimed).export_id, made, now=datetime.now(UTC), kept=kept)
    return Outcome(told, claimed.subject, [event])


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """What is recorded when the export is given up."""
    # Not from the event: that it cannot be read may be the reason.
    return claimed.subject, decider.failed(UUID(claimed.subject.removeprefix("export-")), reason)


def request_of(claimed: Claim) -> ExportRequested:
    """Raises ``TypeError`` for an event that asks for no file."""
    if not isinstance(claimed.event, ExportRequested):
        raise TypeError(f"{claimed.event.TYPE} asks for no file")
    return claimed.event


async def _make(storage: Storage, database: Database, fence: int, asked: ExportRequested, progress: Progress) -> Made:
    for left in decider.earlier_paths(asked.export_id, asked.format, fence):
        await storage.delete(left)
    path = export_path(asked.export_id, asked.format, fence)
    async with (
        storage.writing(path, decider.MEDIA_TYPES[asked.format], decider.save_as(asked)) as file,
        database.transaction(isolation="repeatable_read", readonly=True) as connection,
    ):
        snapshot, pid = await sql.begin(connection)
        progress.measure = partial(sql.rows_copied, pid=pid)
        try:
            rows = await FILES[asked.format](connection, asked, file)
        finally:
            progress.measure = None  # the connection may be another export's next
    telemetry.EXPORT_ROWS.labels(asked.kind, asked.format).inc(rows)
    telemetry.EXPORT_BYTES.labels(asked.kind, asked.format).inc(file.size_bytes)
    return Made(path, rows, file.size_bytes, file.sha256, snapshot)


async def _while_storage_refuses(make: Callable[[], Awaitable[Made]], tries: int) -> Made:
    """Each try reads anew, from a snapshot of its own. Raises ``Refused`` after the last."""
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StorageFailed),
            stop=stop_after_attempt(tries),
            wait=wait_exponential_jitter(multiplier=0.25, max=5),
            before_sleep=lambda state: log.warning("export.begun_anew", failures=state.attempt_number),
            reraise=True,
        ):
            with attempt:
                return await make()
    except StorageFailed as error:
        raise Refused(f"{error} Tried {tries} times.") from error
    raise AssertionError("tenacity ends with a result or an error")


async def _forget_unless_recorded(storage: Storage, database: Database, asked: ExportRequested, path: str) -> None:
    """The effect may have been committed by a connection that was lost in the commit itself: then the file stays."""
    try:
        async with database.connection() as connection:
            recorded = await sql.recorded_path(connection, asked.export_id)
        if recorded != path:
            await storage.delete(path)
    except (Unavailable, Contended, StorageFailed) as error:
        log.warning("export.file_left", path=path, reason=str(error))  # the next attempt deletes it
