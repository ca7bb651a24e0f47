"""An export as CSV (RFC 4180, with COPY's line ends): straight from COPY into storage."""

from chassis.database import Connection
from chassis.storage import Written
from contracts.exports import ExportRequested
from services.exporter.sql import csv_query

BYTE_ORDER_MARK = "\ufeff".encode()


async def write(connection: Connection, asked: ExportRequested, file: Written) -> int:
    """The file's rows. The server waits while the storage is slower than it is."""
    if asked.byte_order_mark:
        await file.write(BYTE_ORDER_MARK)
    status = await connection.copy_from_query(
        csv_query(asked), output=file.write, format="csv", header=True, delimiter=asked.delimiter, encoding="utf-8"
    )
    return rows_in(status)


def rows_in(status: str) -> int:
    """``COPY 42``: 42."""
    return int(status.rpartition(" ")[2])
