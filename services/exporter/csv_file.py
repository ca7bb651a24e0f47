"""An export as CSV (RFC 4180, with COPY's line ends): straight from COPY into storage."""

from chassis.database import Connection
from chassis.storage import Written
from contracts.exports import ExportRequested
from services.exporter.sql import copy, csv_query

BYTE_ORDER_MARK = "\ufeff".encode()


async def write(connection: Connection, asked: ExportRequested, file: Written) -> int:
    """The file's rows. The server waits while the storage is slower than it is."""
    if asked.byte_order_mark:
        await file.write(BYTE_ORDER_MARK)
    return await copy(connection, csv_query(asked), file.write, format="csv", header=True, delimiter=asked.delimiter)
