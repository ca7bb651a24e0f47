"""The process that writes one PDF report: the drives as JSON on stdin, the file on stdout.

Run: ``python -m services.api.finished_drives.report_worker``.
"""

import os
import sys
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from services.api.finished_drives.pdf_file import finished_pdf
from services.api.worker_process import limit_process

# A thousand drives take 2 to 6 seconds.
CPU_SECONDS = 60
MEMORY = 1024 * 1024 * 1024


def main() -> None:
    """Write the report of the request on stdin: ``rows``, ``now`` and ``zone``."""
    limit_process(cpu_seconds=CPU_SECONDS, memory=MEMORY, niceness=0)
    request = orjson.loads(sys.stdin.buffer.read())
    content = finished_pdf(
        [_row(row) for row in request["rows"]],
        now=datetime.fromisoformat(request["now"]),
        zone=ZoneInfo(request["zone"]),
    )
    with os.fdopen(1, "wb") as output:
        output.write(content)


def _row(drive: dict[str, Any]) -> dict[str, Any]:
    interview = drive["interview_date"]
    return drive | {
        "interview_date": interview and date.fromisoformat(interview),
        "finished_date": datetime.fromisoformat(drive["finished_date"]),
    }


if __name__ == "__main__":
    main()
