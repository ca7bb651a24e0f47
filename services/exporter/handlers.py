"""Write a file and record it. The worker calls these handlers for every delivery channel."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from chassis.errors import Contended, Fenced, Outdated, RuleViolation, StorageFailed, Unavailable
from chassis.jobs import queue
from chassis.jobs.job_handler import Handle, Outcome, StagedJobHandler
from chassis.jobs.progress import Progress
from chassis.jobs.queue import Claim
from chassis.observability import metrics
from chassis.postgres.database import Connection, Database
from chassis.spreadsheets.files import CsvFormat, write_csv, write_xlsx
from chassis.storage import Storage, Written
from contracts.exports import MEDIA_TYPES, ExportFormat, ExportRequested, InvitationsRequested
from contracts.files import export_folder, export_path
from contracts.message import Event
from services.exporter import decider, invitations, sql
from services.exporter.decider import Made
from services.exporter.invitations import LinkTokens

# Page size when an export's folder is listed. There are rarely other files.
LISTED = 100

log = structlog.get_logger()


def work(storage: Storage, *, tries: int, kept_s: float, zone: ZoneInfo) -> StagedJobHandler:
    """Return the job handlers. ``tries``: attempts to write a file. ``kept_s``: seconds for which it can be downloaded.

    ``zone``: for moments in XLSX files.
    """
    return StagedJobHandler(stage=partial(stage, storage, zone, tries, timedelta(seconds=kept_s)), failed=failed)


@asynccontextmanager
async def stage(
    storage: Storage,
    zone: ZoneInfo,
    tries: int,
    kept: timedelta,
    database: Database,
    claimed: Claim,
    progress: Progress,
) -> AsyncIterator[Handle]:
    """Write the whole file under a new name. The yielded handle records it.

    Without that record the file is deleted. Raises ``RuleViolation`` when the storage refuses the file.
    """
    asked = request_of(claimed)
    links = LinkTokens(asked) if isinstance(asked, InvitationsRequested) else None
    making = partial(_make, storage, zone, database, claimed, asked, links, progress)
    made = await _while_storage_refuses(making, tries)
    try:
        async with database.connection() as connection:  # separate, because the effect locks the stream before the job
            await queue.update_progress(connection, claimed, {"rows": made.rows})
        yield partial(complete, made, kept, links)
    except BaseException:
        await _forget_unless_recorded(storage, database, asked, made.path)
        raise


async def complete(
    made: Made, kept: timedelta, links: LinkTokens | None, connection: Connection, claimed: Claim
) -> Outcome:
    """Record the finished file. Its links are valid from the commit on.

    Raises ``Outdated`` when the file may show a person who was erased since its snapshot.
    """
    asked = request_of(claimed)
    if await sql.shows_people(connection, asked) and await sql.share_erasures(connection) != made.erasures:
        raise Outdated("a person was erased while the file was written")
    if links is not None:
        await invitations.keep(connection, links)
    event, result = decider.completed(asked.export_id, made, now=datetime.now(UTC), kept=kept)
    return Outcome(result, claimed.subject, [event])


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """Return the stream and the failure event of an export."""
    # The id comes from the subject, because the event may be unreadable.
    return claimed.subject, decider.failed(UUID(claimed.subject.removeprefix("export-")), reason)


def request_of(claimed: Claim) -> ExportRequested | InvitationsRequested:
    """Return the claimed event. Raises ``TypeError`` for an event that requests no file."""
    if not isinstance(claimed.event, ExportRequested | InvitationsRequested):
        raise TypeError(f"{claimed.event.TYPE} requests no file")
    return claimed.event


async def _make(
    storage: Storage,
    zone: ZoneInfo,
    database: Database,
    claimed: Claim,
    asked: ExportRequested | InvitationsRequested,
    links: LinkTokens | None,
    progress: Progress,
) -> Made:
    format_ = decider.format_of(asked)
    path = export_path(asked.export_id, format_, claimed.fence)
    await _delete_leftovers(storage, database, claimed, asked.export_id, path)
    async with (
        storage.writing(path, MEDIA_TYPES[format_], decider.save_as(asked)) as file,
        database.transaction(isolation="repeatable_read", readonly=True) as connection,
    ):
        snapshot, pid = await sql.begin(connection)
        erasures = await sql.erasures(connection)
        progress.measure = partial(sql.rows_copied, pid=pid)
        try:
            rows = await _write(connection, asked, links, file, zone)
        finally:
            progress.measure = None  # another export may use this connection next
    labels = decider.kind_of(asked), format_
    metrics.EXPORT_ROWS.labels(*labels).inc(rows)
    metrics.EXPORT_BYTES.labels(*labels).inc(file.size_bytes)
    return Made(path, rows, file.size_bytes, file.sha256, snapshot, erasures)


async def _delete_leftovers(storage: Storage, database: Database, claimed: Claim, export_id: UUID, path: str) -> None:
    """Delete files of other claims in the export's folder; ``path`` is the file of this claim.

    Raises ``Fenced`` when the job is lost, because the files may then be its next holder's. The claim is made durable
    first. If a crash lost the claim, an earlier holder could still record its file, which would be deleted.
    """
    left = [file.path async for page in storage.pages(export_folder(export_id), limit=LISTED) for file in page]
    left = [other for other in left if other != path]
    if not left:
        return
    async with database.connection() as connection:
        if not await queue.confirm(connection, claimed):
            raise Fenced("another worker has the job, or it has ended")
    for other in left:
        await storage.delete(other)


async def _write(
    connection: Connection,
    asked: ExportRequested | InvitationsRequested,
    links: LinkTokens | None,
    file: Written,
    zone: ZoneInfo,
) -> int:
    if isinstance(asked, ExportRequested):
        return await write_export(connection, asked, file, zone)
    assert links is not None
    return await invitations.write(connection, links, file)


async def write_export(connection: Connection, asked: ExportRequested, file: Written, zone: ZoneInfo) -> int:
    """Write the rows in the requested format and return their number. COPY waits while the storage is slower."""
    columns = sql.columns_of(asked)
    source = sql.source_of(asked, finished=await sql.is_finished(connection, asked))
    if asked.format is ExportFormat.XLSX:
        return await write_xlsx(connection, columns, source, file.write, zone)
    format_ = CsvFormat(asked.byte_order_mark, asked.delimiter)
    return await write_csv(connection, columns, source, file.write, format_)


async def _while_storage_refuses(make: Callable[[], Awaitable[Made]], tries: int) -> Made:
    """Repeat ``make`` while the storage fails, each time with a new snapshot. Raises ``RuleViolation`` in the end."""
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StorageFailed),
            stop=stop_after_attempt(tries),
            wait=wait_exponential_jitter(multiplier=0.25, max=5),
            before_sleep=lambda state: log.warning("export.retried", failures=state.attempt_number),
            reraise=True,
        ):
            with attempt:
                return await make()
    except StorageFailed as error:
        raise RuleViolation(f"{error} Tried {tries} times.") from error
    raise AssertionError("tenacity ends with a result or an error")


async def _forget_unless_recorded(
    storage: Storage, database: Database, asked: ExportRequested | InvitationsRequested, path: str
) -> None:
    """Delete the file unless it is recorded. If the connection was lost during the commit, it may be recorded."""
    try:
        async with database.connection() as connection:
            recorded = await sql.recorded_path(connection, asked.export_id)
        if recorded != path:
            await storage.delete(path)
    except (Unavailable, Contended, StorageFailed) as error:
        log.warning("export.file_left", path=path, reason=str(error))  # the next attempt deletes it
