"""Compare each live table, as the snapshot sees it, with its projection: first by digests, then row by row."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from chassis.postgres.database import Connection
from cli.replay.tables import Table

A = TypeVar("A")
B = TypeVar("B")

BUCKETS = 4096
PAGE = 2_000

# One scan of the table on each side. Returns at most BUCKETS rows.
DIGESTS = """
SELECT hash_record_extended(ROW({key}), 0) & {mask} AS bucket, count(*) AS count,
       bit_xor(hash_record_extended(ROW({columns}), 1)) AS digest
  FROM {table} GROUP BY 1
"""
# Only for buckets that differ: a second scan on each side, both in the same order.
ROWS = """
SELECT hash_record_extended(ROW({key}), 0) & {mask} AS bucket, ARRAY[{key_texts}] AS key, ARRAY[{column_texts}] AS cells
  FROM {table} WHERE hash_record_extended(ROW({key}), 0) & {mask} = ANY ($1::bigint[])
 ORDER BY 1
"""

Rows = dict[tuple[str, ...], Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A column that differs. ``None`` is SQL's null."""

    column: str
    live: str | None
    replayed: str | None


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that differs. ``only``: the side (``live`` or ``replayed``) if the other lacks the row (no ``cells``)."""

    key: tuple[str, ...]
    only: str | None = None
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class TableFindings:
    """The result for a table. ``differences``: the first ones; ``different``: the number of all."""

    table: Table
    live_rows: int
    replayed_rows: int
    different: int
    differences: tuple[RowDifference, ...]


Found = Callable[[Table, Sequence[RowDifference]], Awaitable[None]]


async def compare(
    live: Connection, replayed: Connection, table: Table, *, limit: int, found: Found | None = None
) -> TableFindings:
    """Count every difference and return the first ``limit``. ``live`` is in the snapshot's transaction.

    ``found`` is called with all of them, bucket by bucket, and may use ``replayed``.
    Memory does not grow with the number of rows or of differences.
    """
    left, right = await side_by_side(
        _digests(live, f"public.{table.name}", table), _digests(replayed, f"pg_temp.{table.name}", table)
    )
    buckets = sorted(bucket for bucket in left.keys() | right.keys() if left.get(bucket) != right.get(bucket))
    first: list[RowDifference] = []
    different = 0
    if buckets:
        async for differences in _differences(live, replayed, table, buckets):
            different += len(differences)
            first += differences[: limit - len(first)]
            if found is not None:
                await found(table, differences)
    live_rows, replayed_rows = (sum(count for count, _ in side.values()) for side in (left, right))
    return TableFindings(table, live_rows, replayed_rows, different, tuple(first))


async def _digests(connection: Connection, name: str, table: Table) -> dict[int, tuple[int, int]]:
    query = DIGESTS.format(table=name, key=_listed(table.key), columns=_listed(table.columns), mask=BUCKETS - 1)
    return {row["bucket"]: (row["count"], row["digest"]) for row in await connection.fetch(query)}


async def _differences(
    live: Connection, replayed: Connection, table: Table, buckets: list[int]
) -> AsyncIterator[list[RowDifference]]:
    async with replayed.transaction(readonly=True):
        sides = [
            _by_bucket(live, f"public.{table.name}", table, buckets),
            _by_bucket(replayed, f"pg_temp.{table.name}", table, buckets),
        ]
        heads = [await anext(side, None) for side in sides]
        for bucket in buckets:
            rows: list[Rows] = []
            for number, side in enumerate(sides):
                head = heads[number]
                if head is not None and head[0] == bucket:
                    rows.append(head[1])
                    heads[number] = await anext(side, None)
                else:
                    rows.append({})
            yield differing(table, rows[0], rows[1])


async def _by_bucket(
    connection: Connection, name: str, table: Table, buckets: list[int]
) -> AsyncIterator[tuple[int, Rows]]:
    query = ROWS.format(
        table=name, key=_listed(table.key), mask=BUCKETS - 1,
        key_texts=_listed(table.key, "::text"), column_texts=_listed(table.columns, "::text"),
    )  # fmt: skip
    current: int | None = None
    rows: Rows = {}
    row: asyncpg.Record
    async for row in connection.cursor(query, buckets, prefetch=PAGE):
        if current is not None and row["bucket"] != current:
            yield current, rows
            rows = {}
        current = row["bucket"]
        rows[tuple(row["key"])] = row["cells"]
    if current is not None:
        yield current, rows


def differing(table: Table, live: Rows, replayed: Rows) -> list[RowDifference]:
    """Return the differences between two sets of rows, by key."""
    found = []
    for key in sorted(live.keys() | replayed.keys(), key=_in_order):
        if key not in replayed:
            found.append(RowDifference(key, only="live"))
        elif key not in live:
            found.append(RowDifference(key, only="replayed"))
        elif live[key] != replayed[key]:
            cells = zip(table.columns, live[key], replayed[key], strict=True)
            found.append(RowDifference(key, cells=tuple(Cell(*cell) for cell in cells if cell[1] != cell[2])))
    return found


def _in_order(key: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """Return a sort key that orders numbers numerically, since longer ones come later."""
    return tuple((len(part), part) for part in key)


def _listed(columns: Sequence[str], cast: str = "") -> str:
    return ", ".join(f'"{column}"{cast}' for column in columns)


async def side_by_side(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Return the results of both, which use two connections.

    Raises the first failure once the other is cancelled, so that its connection can be used again.
    """
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return first.result(), second.result()
