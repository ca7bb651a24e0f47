"""Write the rows of a statement as CSV or XLSX: one COPY for a whole file, in constant memory.

``source`` is the SQL that follows the SELECT list, starting with FROM; ``arguments`` are its parameters.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from chassis.postgres.database import Connection
from chassis.spreadsheets.cells import Column, csv_select, xlsx_select
from chassis.spreadsheets.workbook import Workbook

BYTE_ORDER_MARK = "\ufeff".encode()
BLOCK_BYTES = 1024 * 1024

Output = Callable[[bytes], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """Format of a CSV file. ``byte_order_mark`` makes Excel read UTF-8. ``quoted``: columns always in quotes."""

    byte_order_mark: bool = False
    delimiter: str = ","
    quoted: Sequence[str] = ()


async def write_csv(
    connection: Connection, columns: Sequence[Column], source: str, output: Output, format_: CsvFormat, *arguments: Any
) -> int:
    """Write a CSV file (RFC 4180, with COPY's line ends) to ``output``. Return the number of its rows."""
    if format_.byte_order_mark:
        await output(BYTE_ORDER_MARK)
    options: dict[str, Any] = {"format": "csv", "header": True, "delimiter": format_.delimiter}
    if format_.quoted:
        options["force_quote"] = list(format_.quoted)
    return await copy(connection, csv_select(columns) + source, output, *arguments, **options)


async def write_xlsx(
    connection: Connection,
    columns: Sequence[Column],
    source: str,
    output: Output,
    zone: ZoneInfo,
    *arguments: Any,
    title: str | None = None,
    widths: Sequence[int] = (),
) -> int:
    """Write an XLSX file to ``output``. Return the number of its rows. Compresses in a thread; COPY waits for it."""
    block = bytearray()
    with closing(Workbook([column.name for column in columns], title=title, widths=widths)) as book:

        async def write_block() -> None:
            compressed = await _in_thread(partial(book.add_rows, bytes(block)))
            block.clear()
            if compressed:
                await output(compressed)

        async def add(chunk: bytes) -> None:
            block.extend(chunk)
            if len(block) >= BLOCK_BYTES:
                await write_block()

        rows = await copy(connection, xlsx_select(columns, zone) + source, add, *arguments, format="text")
        await write_block()
        await output(await _in_thread(book.finish))
    return rows


async def in_memory(write: Callable[[Output], Awaitable[int]]) -> bytes:
    """Return the whole file that ``write`` writes. Only for files known to be small."""
    content = bytearray()

    async def collect(chunk: bytes) -> None:
        content.extend(chunk)

    await write(collect)
    return bytes(content)


async def copy(connection: Connection, query: str, output: Output, *arguments: Any, **options: Any) -> int:
    """COPY the result of ``query`` to ``output``. Return the number of rows. If ``output`` raises, end the connection.

    Otherwise the driver would wait for data that the server has already sent (seen with asyncpg 0.32).
    """
    output_failed = False

    async def write(chunk: bytes) -> None:
        nonlocal output_failed
        try:
            await output(chunk)
        except BaseException:
            output_failed = True
            raise

    try:
        status = await connection.copy_from_query(query, *arguments, output=write, encoding="utf-8", **options)
    except BaseException:
        if output_failed:
            connection.terminate()
        raise
    return int(status.rpartition(" ")[2])  # COPY 42


async def _in_thread(work: Callable[[], bytes]) -> bytes:
    """Run ``work`` in a thread and return its result. When cancelled, wait for the thread to end before raising."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait([working])
