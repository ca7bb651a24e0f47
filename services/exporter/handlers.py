"""Write an export file and record it. The worker calls these handlers for every delivery channel."""

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
from services.exporter.decider import FinishedFile
from services.exporter.invitations import LinkTokens

# Page size when the folder of an export is listed. It rarely has more than one file.
LISTED = 100

log = structlog.get_logger()


def work(storage: Storage, *, tries: int, kept_s: float, zone: ZoneInfo) -> StagedJobHandler:
    """Return the job handlers. ``tries``: how often a file is tried while the storage fails.

    ``kept_s``: the seconds for which the file can be downloaded. ``zone``: the time zone of times in XLSX files.
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
    """Write the whole file under a new name. The yielded handler records the file.

    A file that is not recorded is deleted. Raises ``RuleViolation`` when the storage refuses the file.
    """
    request = request_of(claimed)
    links = LinkTokens(request) if isinstance(request, InvitationsRequested) else None
    write_file = partial(_write_file, storage, zone, database, claimed, request, links, progress)
    finished = await _retry_while_storage_fails(write_file, tries)
    try:
        # In a separate transaction, because the transaction of the effect must lock the stream before the job.
        async with database.connection() as connection:
            await queue.update_progress(connection, claimed, {"rows": finished.rows})
        yield partial(complete, finished, kept, links)
    except BaseException:
        await _delete_unless_recorded(storage, database, request, finished.path)
        raise


async def complete(
    finished: FinishedFile, kept: timedelta, links: LinkTokens | None, connection: Connection, claimed: Claim
) -> Outcome:
    """Record the finished file. Its invitation links are valid from the commit on.

    Raises ``Outdated`` when the file may show a person who was erased after its snapshot.
    """
    request = request_of(claimed)
    if await sql.shows_people(connection, request) and await sql.share_erasures(connection) != finished.erasures:
        raise Outdated("a person was erased while the file was written")
    if links is not None:
        await invitations.keep(connection, links)
    event, result = decider.completed(request.export_id, finished, now=datetime.now(UTC), kept=kept)
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


async def _write_file(
    storage: Storage,
    zone: ZoneInfo,
    database: Database,
    claimed: Claim,
    request: ExportRequested | InvitationsRequested,
    links: LinkTokens | None,
    progress: Progress,
) -> FinishedFile:
    format_ = decider.format_of(request)
    path = export_path(request.export_id, format_, claimed.fence)
    await _delete_leftovers(storage, database, claimed, request.export_id, path)
    async with (
        storage.writing(path, MEDIA_TYPES[format_], decider.save_as(request)) as file,
        database.transaction(isolation="repeatable_read", readonly=True) as connection,
    ):
        snapshot, pid = await sql.begin(connection)
        erasures = await sql.erasures(connection)
        progress.measure = partial(sql.rows_copied, pid=pid)
        try:
            rows = await _write(connection, request, links, file, zone)
        finally:
            progress.measure = None  # another export may use this connection next
    labels = decider.kind_of(request), format_
    metrics.EXPORT_ROWS.labels(*labels).inc(rows)
    metrics.EXPORT_BYTES.labels(*labels).inc(file.size_bytes)
    return FinishedFile(path, rows, file.size_bytes, file.sha256, snapshot, erasures)


async def _delete_leftovers(storage: Storage, database: Database, claimed: Claim, export_id: UUID, path: str) -> None:
    """Delete files of other claims in the export's folder; ``path`` is the file of this claim.

    Raises ``Fenced`` when another worker has claimed the job, because the files may be its own. Makes the claim durable
    before any deletion. Otherwise, after a crash that loses the claim, an earlier worker could record a deleted file.
    """
    files = [file.path async for page in storage.pages(export_folder(export_id), limit=LISTED) for file in page]
    leftovers = [other for other in files if other != path]
    if not leftovers:
        return
    async with database.connection() as connection:
        if not await queue.confirm(connection, claimed):
            raise Fenced("another worker has the job, or it has ended")
    for leftover in leftovers:
        await storage.delete(leftover)


async def _write(
    connection: Connection,
    request: ExportRequested | InvitationsRequested,
    links: LinkTokens | None,
    file: Written,
    zone: ZoneInfo,
) -> int:
    if isinstance(request, ExportRequested):
        return await write_export(connection, request, file, zone)
    assert links is not None
    return await invitations.write(connection, links, file)


async def write_export(connection: Connection, request: ExportRequested, file: Written, zone: ZoneInfo) -> int:
    """Write the rows in the requested format and return their number. COPY waits when the storage is slower."""
    columns = sql.columns_of(request)
    source = sql.source_of(request, finished=await sql.is_finished(connection, request))
    if request.format is ExportFormat.XLSX:
        return await write_xlsx(connection, columns, source, file.write, zone)
    format_ = CsvFormat(request.byte_order_mark, request.delimiter)
    return await write_csv(connection, columns, source, file.write, format_)


async def _retry_while_storage_fails(write_file: Callable[[], Awaitable[FinishedFile]], tries: int) -> FinishedFile:
    """Call ``make`` until the storage takes the file. Raises ``RuleViolation`` after ``tries`` attempts.

    Each attempt uses a new snapshot.
    """
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StorageFailed),
            stop=stop_after_attempt(tries),
            wait=wait_exponential_jitter(multiplier=0.25, max=5),
            before_sleep=lambda state: log.warning("export.retried", failures=state.attempt_number),
            reraise=True,
        ):
            with attempt:
                return await write_file()
    except StorageFailed as error:
        raise RuleViolation(f"{error} Tried {tries} times.") from error
    raise AssertionError("tenacity ends with a result or an error")


async def _delete_unless_recorded(
    storage: Storage, database: Database, request: ExportRequested | InvitationsRequested, path: str
) -> None:
    """Delete the file unless it is recorded, which is unknown when the connection was lost during the commit."""
    try:
        async with database.connection() as connection:
            recorded = await sql.recorded_path(connection, request.export_id)
        if recorded != path:
            await storage.delete(path)
    except (Unavailable, Contended, StorageFailed) as error:
        log.warning("export.file_left", path=path, reason=str(error))  # the next attempt deletes it
