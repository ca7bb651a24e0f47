"""Write PDF reports one at a time. A separate process writes long reports, so that they do not delay requests."""

import asyncio
import signal
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from chassis.errors import Invalid, Overloaded
from services.api import worker_process
from services.api.finished_drives.pdf_file import finished_pdf

WORKER = "services.api.finished_drives.report_worker"
COLUMNS = (
    "company_name",
    "job_title",
    "interview_date",
    "finished_date",
    "total_registered",
    "total_present",
    "total_absent",
    "domain_name",
)
MAX_WAITING = 20
# A short report takes less time than the start of a process, so a thread writes it.
FEW_ROWS = 25
Row: TypeAlias = Mapping[str, Any] | asyncpg.Record
# Exit codes of a process that exceeded its limit on time or memory.
OVER_LIMIT = (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGABRT)


class Reports:
    """Writes the reports of this process. At most ``MAX_WAITING`` requests may wait."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(1)
        self._waiting = 0

    async def write(self, rows: Sequence[Row], *, now: datetime, zone: ZoneInfo) -> bytes:
        """Return the report of ``rows`` as of ``now``.

        Raises ``Overloaded`` when too many requests wait, and ``Invalid`` when the report is too large.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded("Too many reports are being written at this moment. Try again soon.")
        self._waiting += 1
        try:
            async with self._turns:
                drives = [{name: row[name] for name in COLUMNS} for row in rows]
                if len(drives) <= FEW_ROWS:
                    return await asyncio.to_thread(finished_pdf, drives, now=now, zone=zone)
                return await _write_in_process(drives, now, zone)
        finally:
            self._waiting -= 1


async def _write_in_process(rows: list[dict[str, Any]], now: datetime, zone: ZoneInfo) -> bytes:
    process = await worker_process.start(WORKER, stdin=PIPE)
    try:
        content, _ = await process.communicate(orjson.dumps({"rows": rows, "now": now, "zone": zone.key}))
    finally:
        await worker_process.end(process)
    if process.returncode in OVER_LIMIT:
        raise Invalid("There are too many drives for one report. Choose a shorter period.")
    if process.returncode:
        raise RuntimeError(f"the report process ended with status {process.returncode}")
    return content
