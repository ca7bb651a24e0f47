"""Write the file of an export, in the requested format."""

from zoneinfo import ZoneInfo

from chassis.postgres.database import Connection
from chassis.spreadsheets.files import CsvFormat, write_csv, write_xlsx
from chassis.storage import Written
from contracts.exports import ExportFormat, ExportRequested
from services.exporter.sql import columns_of, is_finished, source_of


async def write(connection: Connection, asked: ExportRequested, file: Written, zone: ZoneInfo) -> int:
    """Write the rows and return their number. COPY waits while the storage is slower."""
    columns = columns_of(asked)
    source = source_of(asked, finished=await is_finished(connection, asked))
    if asked.format is ExportFormat.XLSX:
        return await write_xlsx(connection, columns, source, file.write, zone)
    format_ = CsvFormat(asked.byte_order_mark, asked.delimiter)
    return await write_csv(connection, columns, source, file.write, format_)
