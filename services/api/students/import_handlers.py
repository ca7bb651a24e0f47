"""An import of many students: staged and judged as a set, then enrolled all or none."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from chassis import event_store
from chassis.database import Connection
from chassis.errors import Invalid, Refused
from chassis.event_store import Cause, NewId
from contracts.students import StudentRange, StudentsImported
from services.api.students import import_sql, reevaluation
from services.api.students.import_files.staged_file import StagedFile, UploadedFile
from services.api.students.import_sql import Judged

LISTED_ERRORS = 1_000
ROWS_AT_ONCE = 10_000


@asynccontextmanager
async def staged(connection: Connection, file: StagedFile) -> AsyncIterator[Judged]:
    """The file's rows in ``import_row``, for as long as the block lasts, and what is wrong with them.

    No transaction is open while the file is read. Raises ``Invalid`` when the file as a whole cannot be used.
    """
    await import_sql.create_staging(connection)
    try:
        async with aclosing(file.chunks()) as chunks:
            async for chunk in chunks:
                await import_sql.copy(connection, chunk)
        await import_sql.finish_staging(connection)
        judged = await import_sql.judge(connection, listed=LISTED_ERRORS)
        yield replace(judged, errors=file.located(judged.errors))
    finally:
        # A lost connection has taken the table with it, and must not hide why it was lost.
        if not connection.is_closed():
            await import_sql.drop_staging(connection)


async def enrol_staged(
    connection: Connection, file: StagedFile, judged: Judged, cause: Cause, new_id: NewId
) -> dict[str, Any]:
    """Enrol every staged row, in the caller's transaction; the report.

    Raises ``Invalid`` when a row is wrong, ``Refused`` when somebody enrolled one of them in the meantime.
    """
    if judged.error_count:
        raise Invalid(_what_is_wrong(judged), errors=judged.errors)
    import_id, event_id = uuid7(), new_id(0)
    metadata = orjson.dumps(replace(cause, causation_id=event_id).metadata()).decode()
    await import_sql.take_time(connection)
    digest, line = 0, 0
    ids: list[int] = []
    try:
        while done := await import_sql.enrol(connection, after_line=line, limit=ROWS_AT_ONCE, metadata=metadata):
            digest, line = digest ^ done.digest, done.line
            ids += [done.first_id, done.last_id]
    except asyncpg.UniqueViolationError as error:
        raise Refused(
            "A student of this file was enrolled while it was being imported. Nothing was changed; "
            "import it again to see which."
        ) from error
    event = StudentsImported(import_id=import_id, count=judged.rows, digest=str(digest))
    await event_store.append(
        connection, f"import-{import_id}", [event], cause, expected_version=0, new_id=lambda _: event_id
    )
    newcomers = StudentRange(first=min(ids), last=max(ids))
    await reevaluation.ask_for_newcomers(connection, newcomers, replace(cause, causation_id=event_id), import_id)
    return report(file, judged, import_id)


def report(file: StagedFile, judged: Judged, import_id: UUID | None = None) -> dict[str, Any]:
    """``import_id``: of an import that was done; ``None``: of a dry run."""
    return {
        "import_id": str(import_id) if import_id else None,
        "dry_run": import_id is None,
        "rows": judged.rows,
        "valid": judged.rows - judged.wrong_rows,
        "imported": judged.rows if import_id else 0,
        "error_count": judged.error_count,
        "errors": judged.errors,
        "columns": file.columns,
        "warnings": file.warnings,
    }


async def digest_of(file: UploadedFile) -> str:
    """Return the SHA-256 of the file's bytes."""
    return await asyncio.to_thread(_sha256, file)


def _sha256(file: UploadedFile) -> str:
    file.content.seek(0)
    return hashlib.file_digest(file.content, "sha256").hexdigest()  # type: ignore[arg-type]


def _what_is_wrong(judged: Judged) -> str:
    first = judged.errors[0]
    what = f"{first['column']} {first['reason']}" if first["column"] else f"the row {first['reason']}"
    return (
        f"{judged.wrong_rows:,} of {judged.rows:,} rows cannot be imported, so nothing was changed. "
        f"The first is line {first['line']}: {what}."
    )
