"""Import many students: stage and check them as a set, then write all or none."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from chassis.errors import Invalid, RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, NewId
from chassis.postgres.database import Connection
from contracts.students import StudentRange, StudentsImported
from services.api.students import import_sql, import_updates, reevaluation
from services.api.students.import_checks import ImportMode
from services.api.students.import_files.staged_file import StagedFile, UploadedFile
from services.api.students.import_sql import ValidationReport

LISTED_ERRORS = 1_000
SHOWN_CHANGES = 100
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Written:
    """Result of an import. ``import_id`` ``None``: nothing changed, so no event was recorded."""

    import_id: UUID | None
    enrolled: int
    updated: int


@asynccontextmanager
async def staged(connection: Connection, file: StagedFile, mode: ImportMode) -> AsyncIterator[ValidationReport]:
    """Stage the file's rows in ``import_row`` until the block ends, and yield the result of their validation.

    No transaction is open while the file is read. Raises ``Invalid`` when the file as a whole cannot be used.
    """
    await import_sql.create_staging(connection)
    try:
        async with aclosing(file.chunks()) as chunks:
            async for chunk in chunks:
                await import_sql.copy(connection, chunk)
        await import_sql.finish_staging(connection)
        judged = await import_sql.validate_rows(connection, mode, listed=LISTED_ERRORS, shown=SHOWN_CHANGES)
        yield replace(judged, errors=file.located(judged.errors), changes=file.located_changes(judged.changes))
    finally:
        # If the connection is lost, the table is gone too, and this error must not hide the cause.
        if not connection.is_closed():
            await import_sql.drop_staging(connection)


async def write_staged(
    connection: Connection, file: StagedFile, judged: ValidationReport, cause: Cause, new_id: NewId
) -> dict[str, Any]:
    """Enrol or update the student of every staged row, in the caller's transaction. Return the report.

    Raises ``Invalid`` when a row is wrong, ``RuleViolation`` when one of the students was enrolled or corrected in the
    meantime.
    """
    if judged.error_count:
        raise Invalid(_what_is_wrong(judged), errors=judged.errors)
    if not judged.new + judged.changed:
        return report(judged, Written(None, 0, 0))
    import_id, event_id = uuid7(), new_id(0)
    caused = replace(cause, causation_id=event_id)
    metadata = orjson.dumps(caused.metadata()).decode()
    await import_sql.take_time(connection)
    revised = import_updates.Revised(0, 0)
    new_students, digest = None, 0
    try:
        if judged.mode is ImportMode.UPSERT:
            revised = await _revise(connection, file, metadata)
        if judged.new:
            new_students, digest = await _enrol(connection, metadata)
    except asyncpg.UniqueViolationError as error:
        raise RuleViolation(
            "A student of this file was enrolled while it was being imported. Nothing was changed; "
            "import it again to see which."
        ) from error
    event = StudentsImported(
        import_id=import_id,
        count=judged.new + revised.count,
        digest=str(digest ^ revised.digest),
        revised=revised.count,
    )
    await event_store.append(
        connection, f"import-{import_id}", [event], cause, expected_version=0, new_id=lambda _: event_id
    )
    await reevaluation.request_for_import(
        connection, new_students, caused, import_id, includes_known=judged.mode is ImportMode.UPSERT
    )
    return report(judged, Written(import_id, judged.new, revised.count))


async def _revise(connection: Connection, file: StagedFile, metadata: str) -> import_updates.Revised:
    """Update the students on record. Raises ``RuleViolation`` when one was corrected since the file was checked."""
    line = await import_updates.lock(connection)
    if line is not None:
        raise RuleViolation(
            f"The student of line {file.line_text(line)} was corrected while the file was being imported. "
            "Nothing was changed; import it again to see what it changes now."
        )
    await import_updates.forget_known_rows(connection)
    return await import_updates.revise(connection, batch_size=ROWS_AT_ONCE, metadata=metadata)


async def _enrol(connection: Connection, metadata: str) -> tuple[StudentRange, int]:
    """Return the range of the new students' ids, and their digest."""
    digest, line = 0, 0
    ids: list[int] = []
    while done := await import_sql.enrol(connection, after_line=line, limit=ROWS_AT_ONCE, metadata=metadata):
        digest, line = digest ^ done.digest, done.line
        ids += [done.first_id, done.last_id]
    return StudentRange(first=min(ids), last=max(ids)), digest


def report(judged: ValidationReport, written: Written | None = None) -> dict[str, Any]:
    """Return the report without ``of_file``. ``written``: the result of an import; ``None``: a dry run."""
    import_id = written.import_id if written else None
    return {
        "import_id": str(import_id) if import_id else None,
        "dry_run": written is None,
        "mode": judged.mode,
        "rows": judged.rows,
        "valid": judged.rows - judged.wrong_rows,
        "new": judged.new,
        "changed": judged.changed,
        "unchanged": judged.unchanged,
        "imported": written.enrolled if written else 0,
        "updated": written.updated if written else 0,
        "changes": judged.changes,
        "error_count": judged.error_count,
        "errors": judged.errors,
    }


def of_file(file: StagedFile) -> dict[str, Any]:
    """Return what the report says about the file. It may quote cells, and follows from the file: it is never stored."""
    return {"columns": file.columns, "warnings": file.warnings}


async def digest_of(file: UploadedFile) -> str:
    """Return the SHA-256 of the file's bytes."""
    return await asyncio.to_thread(_sha256, file)


def _sha256(file: UploadedFile) -> str:
    file.content.seek(0)
    return hashlib.file_digest(file.content, "sha256").hexdigest()  # type: ignore[arg-type]


def _what_is_wrong(judged: ValidationReport) -> str:
    first = judged.errors[0]
    what = f"{first['column']} {first['reason']}" if first["column"] else f"the row {first['reason']}"
    return (
        f"{judged.wrong_rows:,} of {judged.rows:,} rows cannot be imported, so nothing was changed. "
        f"The first is line {first['line']}: {what}."
    )
