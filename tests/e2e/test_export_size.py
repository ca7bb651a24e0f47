"""A large export is correct to the byte, as fast as psql, and written in constant memory."""

import asyncio
import hashlib
import logging
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import openpyxl
import pytest
import pytest_asyncio

from contracts.exports import COLUMNS, ExportFormat, ExportKind, ExportRequested
from devstack.processes import Process
from services.exporter.sql import csv_query
from tests.e2e.test_export_faults import export
from tests.support.eventually import eventually
from tests.support.exporting import crowded_drive, psql_copy, stored
from tests.support.sizes import sized
from tests.support.system import System

Owner = asyncpg.Connection
log = logging.getLogger(__name__)
ROWS = sized(small=5_000, full=1_000_000)
ROUNDS = sized(small=1, full=5)
MAX_GROWTH = 64 * 1024 * 1024
MAX_RATIO = 1.25
TOOK = "SELECT extract(epoch FROM finished_at - started_at)::float8 FROM es.job WHERE id = $1"
# The drive's registrations in plain SQL, without our functions. Escapes formulas like the export.
PLAIN = r"""
SELECT registration_id, student_id, roll_number, regexp_replace(name, '^[-=+@\t\r]', '''\&') AS name,
       regexp_replace(email, '^[-=+@\t\r]', '''\&') AS email, branch, batch_year,
       to_char(registered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS registered_at,
       cgpa, tenth_percent, twelfth_percent, diploma_percent, active_backlogs, drive_id, company_name, job_title
  FROM registrations JOIN users ON user_id = student_id JOIN students USING (student_id) JOIN drives USING (drive_id)
 WHERE drive_id = {} ORDER BY registration_id
"""


@pytest_asyncio.fixture
async def drive_id(system: System, owner: "Owner[asyncpg.Record]") -> int:
    return await crowded_drive(system, owner, ROWS)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def peak_memory(worker: Process) -> AsyncIterator[list[int]]:
    """Yield a list: the memory of the process at the beginning, and its peak so far."""
    memory = [worker.rss_bytes()] * 2

    async def watch() -> None:
        while True:
            memory[1] = max(memory[1], worker.rss_bytes())
            await asyncio.sleep(0.02)

    task = asyncio.create_task(watch())
    try:
        yield memory
    finally:
        task.cancel()


async def finished(system: System, owner: "Owner[asyncpg.Record]", drive_id: int, **body: Any) -> dict[str, Any]:
    """Return a completed export, with the seconds from claim to commit as ``took_s``."""
    async with system.client() as client:
        export_id = (await export(client, drive_id, **body))["export_id"]

        async def completed() -> dict[str, Any] | None:
            current: dict[str, Any] = (await client.get(f"/api/exports/{export_id}")).json()
            return current if current["state"] == "completed" else None

        result = await eventually(completed, within_s=300)
    assert result is not None
    return result | {"took_s": await owner.fetchval(TOOK, UUID(export_id))}


@pytest.mark.timeout(900)
async def test_csv_equals_the_file_of_psql_is_as_fast_and_uses_constant_memory(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    worker = system.start("exporter")
    await owner.execute("VACUUM ANALYZE")
    request = ExportRequested(
        export_id=UUID(int=0), kind=ExportKind.REGISTRATIONS, format=ExportFormat.CSV, drive_id=drive_id,
        columns=list(COLUMNS[ExportKind.REGISTRATIONS]),
    )  # fmt: skip
    ours, psqls = [], []
    async with peak_memory(worker) as memory:
        for _ in range(ROUNDS):
            psqls.append(await psql_copy(database_url, csv_query(request), tmp_path / "psql.csv"))
            done = await finished(system, owner, drive_id)
            ours.append(done["took_s"])
    await psql_copy(database_url, PLAIN.format(drive_id), tmp_path / "plain.csv")
    assert done["rows"] == ROWS
    assert done["sha256"] == sha256(tmp_path / "psql.csv") == sha256(tmp_path / "plain.csv")
    path = next(name for name in stored(tmp_path) if name.startswith(done["export_id"]))
    assert sha256(tmp_path / "uploads" / "temp" / path) == done["sha256"]
    ratio, growth = statistics.median(ours) / statistics.median(psqls), memory[1] - memory[0]
    log.info("%s rows: %.2f s, psql %.2f s: x %.2f", ROWS, statistics.median(ours), statistics.median(psqls), ratio)
    log.info("memory: %s MiB, at most %s MiB more; %s bytes", memory[0] >> 20, growth >> 20, done["size_bytes"])
    assert growth <= MAX_GROWTH
    if ROWS >= 1_000_000:  # with fewer rows, the constant time of a job dominates
        assert ratio <= MAX_RATIO


@pytest.mark.full_only
@pytest.mark.timeout(900)
async def test_xlsx_is_complete_and_written_in_constant_memory(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", tmp_path: Path
) -> None:
    worker = system.start("exporter")
    async with peak_memory(worker) as memory:
        done = await finished(system, owner, drive_id, format="xlsx", columns=["registration_id", "name"])
    log.info("%s rows: %.2f s, at most %s MiB more", ROWS, done["took_s"], (memory[1] - memory[0]) >> 20)
    assert memory[1] - memory[0] <= MAX_GROWTH
    [path] = stored(tmp_path)
    book = openpyxl.load_workbook(tmp_path / "uploads" / "temp" / path, read_only=True)
    ids = [row[0] for row in book["Sheet1"].iter_rows(min_row=2, max_col=1, values_only=True)]
    assert len(ids) == done["rows"] == ROWS
    assert ids == [row[0] for row in await owner.fetch("SELECT registration_id FROM registrations ORDER BY 1")]
