"""Finished drives as an Excel sheet."""

from zoneinfo import ZoneInfo

from chassis.postgres.database import Connection
from chassis.spreadsheets.cells import CellType, Column
from chassis.spreadsheets.files import in_memory, write_xlsx
from services.api.finished_drives.period import Period
from services.api.finished_drives.sql import SOURCE

TITLE = "Finished Drives"
WIDTHS = (10, 30, 30, 20, 20, 15, 12, 12, 20)


def columns(zone: ZoneInfo) -> tuple[Column, ...]:
    """Return the sheet's columns, with days in ``zone``."""
    name = zone.key.replace("'", "''")
    return (
        Column("Drive ID", "f.drive_id", CellType.WHOLE),
        Column("Company Name", "f.company_name", CellType.TEXT),
        Column("Job Title", "f.job_title", CellType.TEXT),
        Column("Interview Date", "f.interview_date", CellType.SHORT_DAY),
        Column("Finished Date", f"(f.finished_date AT TIME ZONE '{name}')::date", CellType.SHORT_DAY),
        Column("Total Registered", "f.total_registered", CellType.WHOLE),
        Column("Total Present", "f.total_present", CellType.WHOLE),
        Column("Total Absent", "f.total_absent", CellType.WHOLE),
        Column("Domain", "j.domain_name", CellType.TEXT),
    )


async def finished_xlsx(connection: Connection, period: Period, zone: ZoneInfo) -> bytes:
    """Return a workbook with one sheet. Without finished drives it has only the header."""
    arguments = period.begins, period.ends, None
    return await in_memory(
        lambda output: write_xlsx(
            connection, columns(zone), SOURCE, output, zone, *arguments, title=TITLE, widths=WIDTHS
        )
    )
