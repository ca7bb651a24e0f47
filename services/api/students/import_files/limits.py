"""Limits on reading a file: rows, columns, time and memory, and the message for each."""

from dataclasses import dataclass
from pathlib import Path

from chassis.errors import Invalid

MIB = 1024 * 1024
# The limits of spreadsheet programs since 2007.
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
# Rows times columns, because a sheet is read as a rectangle.
MAX_CELLS = 25_000_000
MAX_MEMORY = 1024 * MIB
CPU_SECONDS, CPU_SECONDS_PER_MIB = 30, 3
MEMORY_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")
AS_CSV = "Delete the empty part of the sheet, or save it as CSV (UTF-8) and import that."


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits of the process that reads a file: seconds of processor time, bytes of memory."""

    cpu_seconds: int
    memory: int


def limits_for(size: int) -> ReadLimits:
    """Return the limits for a file of ``size`` bytes. Memory is limited to half of the container's, at most 1 GiB."""
    memory = MAX_MEMORY
    if MEMORY_OF_CONTAINER.exists() and (text := MEMORY_OF_CONTAINER.read_text().strip()).isdigit():
        memory = max(128 * MIB, min(MAX_MEMORY, int(text) // 2))
    return ReadLimits(CPU_SECONDS + CPU_SECONDS_PER_MIB * (size // MIB), memory)


def too_many_rows(row: int) -> Invalid:
    return Invalid(f"The sheet has a row {row:,}; a sheet has at most {MAX_ROWS:,} rows. {AS_CSV}")


def too_many_cells() -> Invalid:
    return Invalid(f"The sheet has more than {MAX_CELLS:,} cells. {AS_CSV}")


def too_many_students() -> Invalid:
    return Invalid(f"The file has more than {MAX_ROWS:,} rows. Divide it into several files.")
