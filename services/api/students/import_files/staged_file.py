"""Receive the rows of a file of students from the separate process that reads it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import structlog

from chassis.errors import Invalid
from services.api import worker_process
from services.api.students.import_files.frames import HEADER, Kind
from services.api.students.import_files.limits import ReadLimits, limits_for
from services.api.students.import_files.rows import LINES_PER_SHEET, ReadOptions
from services.api.students.import_files.worker import OUT_OF_MEMORY

log = structlog.get_logger()

WORKER = "services.api.students.import_files.worker"
AS_CSV = "Save it as CSV (UTF-8) and import that: CSV files are read row by row."
# A process that sends nothing for this long counts as stuck. It may share the processor, so the limit is generous.
SILENCE_S, SECONDS_PER_CPU_SECOND = 60, 4


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """An uploaded file. ``content``: a real file, with a descriptor."""

    content: BinaryIO
    name: str
    options: ReadOptions


@dataclass(slots=True)
class StagedFile:
    """``columns``: the use of each column. ``warnings``: complete once every chunk was read."""

    columns: list[dict[str, Any]]
    sheets: list[str]
    pid: int
    _stream: asyncio.StreamReader
    _process: asyncio.subprocess.Process
    _silence_s: float
    warnings: list[str] = field(default_factory=list)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield rows in COPY's CSV format: line, wrong column, reason, then ``COLUMNS``.

        Raises ``Invalid`` when a later part of the file cannot be used.
        """
        while True:
            kind, content = await _read_frame(self._process, self._stream, self._silence_s)
            if kind is Kind.ENDING:
                self.warnings = json.loads(content)["warnings"]
                return
            yield content

    def located(self, errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return ``errors`` with the file's lines, and its sheets if there are several."""
        if len(self.sheets) < 2:
            return errors
        return [self._located(error) for error in errors]

    def line_text(self, line: int) -> str:
        """Return the text that names a line of the staging table in a sentence."""
        if len(self.sheets) < 2:
            return str(line)
        sheet, line = self.place(line)
        return f"{line} of sheet {sheet!r}"

    def located_changes(self, changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return ``changes`` with the file's lines, and its sheets if there are several."""
        if len(self.sheets) < 2:
            return changes
        places = [self.place(change["line"]) for change in changes]
        return [{**change, "sheet": sheet, "line": line} for change, (sheet, line) in zip(changes, places, strict=True)]

    def _located(self, error: dict[str, Any]) -> dict[str, Any]:
        sheet, line = self.place(error["line"])
        reason = error["reason"]
        head, separator, other = reason.rpartition("in line ")
        if separator and other.isdigit():
            other_sheet, other_line = self.place(int(other))
            reason = f"{head}in line {other_line} of sheet {other_sheet!r}"
        return {**error, "line": line, "reason": f"(sheet {sheet!r}) {reason}"}

    def place(self, line: int) -> tuple[str, int]:
        """Return the sheet of a line of the staging table, and the number of the line in the sheet."""
        index, sheet_line = divmod(line, LINES_PER_SHEET)
        return self.sheets[index], sheet_line


@asynccontextmanager
async def open_students(file: UploadedFile, limits: ReadLimits | None = None) -> AsyncIterator[StagedFile]:
    """Read ``file`` in a separate process that ends with the block. ``limits``: by default, they depend on its size.

    Raises ``Invalid`` when the file cannot be used, or exceeds the limits on time or memory.
    """
    limits = limits or limits_for(os.fstat(file.content.fileno()).st_size)
    process = await _start_worker(file, limits)
    try:
        assert process.stdout is not None
        silence_s = SILENCE_S + limits.cpu_seconds * SECONDS_PER_CPU_SECOND
        _, content = await _read_frame(process, process.stdout, silence_s)
        opening = json.loads(content)
        yield StagedFile(opening["columns"], opening["sheets"], process.pid, process.stdout, process, silence_s)
    finally:
        await worker_process.end(process)


async def _start_worker(file: UploadedFile, limits: ReadLimits) -> asyncio.subprocess.Process:
    options = file.options
    request = {
        "name": file.name,
        "mapping": dict(options.mapping),
        "header_row": options.header_row,
        "sheet": options.sheet,
        "updates": options.updates,
        "limits": asdict(limits),
    }
    file.content.seek(0)
    return await worker_process.start(WORKER, json.dumps(request), stdin=file.content.fileno())


async def _read_frame(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader, silence_s: float
) -> tuple[Kind, bytes]:
    try:
        async with asyncio.timeout(silence_s):
            mark, length = HEADER.unpack(await stream.readexactly(HEADER.size))
            content = await stream.readexactly(length)
    except TimeoutError as error:
        raise Invalid(f"The file takes too long to read. {AS_CSV}") from error
    except asyncio.IncompleteReadError as error:
        raise _refusal_for(await process.wait()) from error
    kind = Kind(mark)
    if kind is Kind.INVALID:
        refusal = json.loads(content)
        raise Invalid(refusal["message"], errors=refusal["errors"])
    if kind is Kind.FAILED:
        reason = content.decode()
        if reason == OUT_OF_MEMORY:
            raise _too_large()
        log.error("import.reading_failed", reason=reason)
        raise _unreadable()
    return kind, content


def _refusal_for(status: int) -> Invalid:
    """Return the refusal for a process that ended without its last message."""
    if status == -signal.SIGXCPU:
        return Invalid(f"The file takes too long to read. {AS_CSV}")
    if status in (-signal.SIGKILL, -signal.SIGABRT):
        return _too_large()
    log.error("import.reading_failed", status=status)
    return _unreadable()


def _too_large() -> Invalid:
    return Invalid(f"The file needs too much memory to read. Delete the empty parts of its sheets. {AS_CSV}")


def _unreadable() -> Invalid:
    return Invalid(f"The file cannot be read; it is damaged. Open it in your spreadsheet and save it again. {AS_CSV}")
