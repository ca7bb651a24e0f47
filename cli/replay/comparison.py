"""Compare each live table, in one snapshot, with its projection: first digests of groups of rows, then the rows."""

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
    """A row that differs. ``only``: ``live`` or ``replayed`` if only that side has the row; ``cells`` is then empty."""

    key: tuple[str, ...]
    only: str | None = None
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class TableFindings:
    """The result for a table. ``different``: the number of differing rows. ``differences``: the first of these rows."""

    table: Table
    live_rows: int
    replayed_rows: int
    different: int
    differences: tuple[RowDifference, ...]


Found = Callable[[Table, Sequence[RowDifference]], Awaitable[None]]


async def compare(
    live: Connection, replayed: Connection, table: Table, *, limit: int, found: Found | None = None
) -> TableFindings:
    """Count the differing rows and return the first ``limit`` of them. ``live`` is in the snapshot's transaction.

    ``found`` is called with all differing rows, bucket by bucket, and may use ``replayed``.
    Memory does not grow with the number of rows or differences.
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
    """Return the differences between two sets of rows, ordered by key."""
    differences = []
    for key in sorted(live.keys() | replayed.keys(), key=_sort_key):
        if key not in replayed:
            differences.append(RowDifference(key, only="live"))
        elif key not in live:
            differences.append(RowDifference(key, only="replayed"))
        elif live[key] != replayed[key]:
            cells = zip(table.columns, live[key], replayed[key], strict=True)
            differences.append(RowDifference(key, cells=tuple(Cell(*cell) for cell in cells if cell[1] != cell[2])))
    return differences


def _sort_key(key: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts shorter texts first, and so orders texts of numbers numerically."""
    return tuple((len(part), part) for part in key)


def _listed(columns: Sequence[str], cast: str = "") -> str:
    return ", ".join(f'"{column}"{cast}' for column in columns)


async def side_by_side(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Run both coroutines at the same time and return both results. They must use different connections.

    If one fails, raises its failure after the other has been cancelled. Then both connections can be used again.
    """
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return first.result(), second.result()
