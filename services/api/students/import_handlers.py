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
    """Result of an import. ``import_id``: ``None`` if nothing changed, so that no event was recorded."""

    import_id: UUID | None
    enrolled: int
    updated: int


@asynccontextmanager
async def staged(connection: Connection, file: StagedFile, mode: ImportMode) -> AsyncIterator[ValidationReport]:
    """Stage the file's rows in ``import_row`` until the block ends, and yield their validation.

    No transaction is open while the file is read. Raises ``Invalid`` when the file as a whole cannot be used.
    """
    await import_sql.create_staging(connection)
    try:
        async with aclosing(file.chunks()) as chunks:
            async for chunk in chunks:
                await import_sql.copy(connection, chunk)
        await import_sql.finish_staging(connection)
        validation = await import_sql.validate_rows(connection, mode, listed=LISTED_ERRORS, shown=SHOWN_CHANGES)
        yield replace(
            validation, errors=file.located(validation.errors), changes=file.located_changes(validation.changes)
        )
    finally:
        # A lost connection has dropped the table already. An error here would hide the cause.
        if not connection.is_closed():
            await import_sql.drop_staging(connection)


async def write_staged(
    connection: Connection, file: StagedFile, validation: ValidationReport, cause: Cause, new_id: NewId
) -> dict[str, Any]:
    """Enrol or update the student of every staged row, in the caller's transaction. Return the report.

    Raises ``Invalid`` when a row has an error, and ``RuleViolation`` when another request enrolled or corrected one of
    the students in the meantime.
    """
    if validation.error_count:
        raise Invalid(_first_error(validation), errors=validation.errors)
    if not validation.new + validation.changed:
        return report(validation, Written(None, 0, 0))
    import_id, event_id = uuid7(), new_id(0)
    caused = replace(cause, causation_id=event_id)
    metadata = orjson.dumps(caused.metadata()).decode()
    await import_sql.remove_time_limits(connection)
    revised = import_updates.Revised(0, 0)
    new_students, digest = None, 0
    try:
        if validation.mode is ImportMode.UPSERT:
            revised = await _revise(connection, file, metadata)
        if validation.new:
            new_students, digest = await _enrol(connection, metadata)
    except asyncpg.UniqueViolationError as error:
        raise RuleViolation(
            "A student of this file was enrolled while it was being imported. Nothing was changed; "
            "import it again to see which student."
        ) from error
    event = StudentsImported(
        import_id=import_id,
        count=validation.new + revised.count,
        digest=str(digest ^ revised.digest),
        revised=revised.count,
    )
    await event_store.append(
        connection, f"import-{import_id}", [event], cause, expected_version=0, new_id=lambda _: event_id
    )
    await reevaluation.request_for_import(
        connection, new_students, caused, import_id, includes_known=validation.mode is ImportMode.UPSERT
    )
    return report(validation, Written(import_id, validation.new, revised.count))


async def _revise(connection: Connection, file: StagedFile, metadata: str) -> import_updates.Revised:
    """Update the students on record. Raises ``RuleViolation`` if one was corrected since the file was checked."""
    line = await import_updates.lock(connection)
    if line is not None:
        raise RuleViolation(
            f"The student of line {file.line_text(line)} was corrected while the file was being imported. "
            "Nothing was changed; import the file again to see what it would change now."
        )
    await import_updates.forget_known_rows(connection)
    return await import_updates.revise(connection, batch_size=ROWS_AT_ONCE, metadata=metadata)


async def _enrol(connection: Connection, metadata: str) -> tuple[StudentRange, int]:
    """Enrol the new students. Return the range of their ids, and the digest of the ids."""
    digest, line = 0, 0
    ids: list[int] = []
    while batch := await import_sql.enrol(connection, after_line=line, limit=ROWS_AT_ONCE, metadata=metadata):
        digest, line = digest ^ batch.digest, batch.line
        ids += [batch.first_id, batch.last_id]
    return StudentRange(first=min(ids), last=max(ids)), digest


def report(validation: ValidationReport, written: Written | None = None) -> dict[str, Any]:
    """Return the report without the part of ``of_file``. ``written``: the result; ``None`` for a dry run."""
    import_id = written.import_id if written else None
    return {
        "import_id": str(import_id) if import_id else None,
        "dry_run": written is None,
        "mode": validation.mode,
        "rows": validation.rows,
        "valid": validation.rows - validation.wrong_rows,
        "new": validation.new,
        "changed": validation.changed,
        "unchanged": validation.unchanged,
        "imported": written.enrolled if written else 0,
        "updated": written.updated if written else 0,
        "changes": validation.changes,
        "error_count": validation.error_count,
        "errors": validation.errors,
    }


def of_file(file: StagedFile) -> dict[str, Any]:
    """Return the part of the report about the file. It may quote cells, so it is not stored under a key."""
    return {"columns": file.columns, "warnings": file.warnings}


async def digest_of(file: UploadedFile) -> str:
    """Return the SHA-256 of the file's bytes."""
    return await asyncio.to_thread(_sha256, file)


def _sha256(file: UploadedFile) -> str:
    file.content.seek(0)
    return hashlib.file_digest(file.content, "sha256").hexdigest()  # type: ignore[arg-type]


def _first_error(validation: ValidationReport) -> str:
    first = validation.errors[0]
    text = f"{first['column']} {first['reason']}" if first["column"] else f"the row {first['reason']}"
    return (
        f"{validation.wrong_rows:,} of {validation.rows:,} rows cannot be imported, so nothing was changed. "
        f"The first is line {first['line']}: {text}."
    )
