"""Measure the event store at several sizes: ``uv run python -m bench.event_store_size [EVENTS ...]``.

Starts a server and deletes it afterwards. Prints the table of docs/scaling.md. Ten million events need 12 GB of disk
and some minutes.
"""

import asyncio
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
from rich.console import Console
from rich.table import Table

from chassis.eventstore import event_store
from chassis.eventstore.event_store import READ_LOG, READ_STREAM, Cause
from contracts.users import PasswordChanged
from devstack.postgres import Postgres
from devstack.stack import data_folder
from devstack.unprivileged import make_folder
from migrations import runner

Session = asyncpg.Connection
SIZES = (0, 1_000_000, 10_000_000)
BATCH = 200_000
EVENTS_OF_A_STREAM = 4
BYTES_OF_AN_EVENT = 1_200  # a generous estimate, with indexes and WAL
APPENDS, WRITERS = 2_000, 8
READS = 300
CAUSE = Cause(source="bench", correlation_id=uuid4())

# Writes streams of four events with a student's record in each, as after an enrolment and three revisions.
GROW = """
WITH numbered AS MATERIALIZED (
    SELECT i, 1 + (i - 1) / $3::bigint AS student, 1 + (i - 1) % $3 AS version FROM generate_series($1::bigint, $2) i
), heads AS (
    INSERT INTO es.stream (stream_id, stream_type, version, last_tx)
    SELECT 'student-' || student, 'student', $3, es.log_xid() FROM numbered WHERE version = 1
)
INSERT INTO es.event (tx, xid, stream_id, version, event_id, type, data, metadata)
SELECT es.log_xid(), es.log_xid(), 'student-' || student, version, uuidv7(),
       'placewire.student.record-revised.v1',
       jsonb_build_object('student_id', student, 'changed', jsonb_build_array('cgpa'), 'record', jsonb_build_object(
           'branch', 'CSE', 'batch_year', 2026, 'cgpa', '8.25', 'tenth_percent', '91.50',
           'twelfth_percent', '88.00', 'active_backlogs', 0)),
       '{"source": "bench", "correlation_id": "00000000-0000-7000-8000-000000000000", "actor_id": 1}'
  FROM numbered ORDER BY i
"""
RELATIONS = """
SELECT c.relname, pg_relation_size(c.oid) AS bytes FROM pg_class c
 WHERE c.oid = 'es.event'::regclass
    OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'es.event'::regclass) ORDER BY 2 DESC
"""
MIDDLE = "SELECT tx::text::bigint AS tx, position FROM es.event WHERE position >= $1 ORDER BY position LIMIT 1"


async def append_rate(url: str) -> float:
    """Return the appends a second of ``WRITERS`` sessions. Each is durable and writes one event to a new stream."""

    async def write(count: int) -> None:
        session = await asyncpg.connect(url)
        for _ in range(count):
            await event_store.append(
                session, f"refresh-{uuid4()}", [PasswordChanged(user_id=1)], CAUSE, expected_version=0
            )
        await session.close()

    began = time.perf_counter()
    await asyncio.gather(*(write(APPENDS // WRITERS) for _ in range(WRITERS)))
    return APPENDS / (time.perf_counter() - began)


async def median_ms(read: Callable[[], Awaitable[object]]) -> float:
    times_ms = []
    for _ in range(READS):
        began = time.perf_counter()
        await read()
        times_ms.append((time.perf_counter() - began) * 1000)
    return statistics.median(times_ms)


async def measured(session: "Session[asyncpg.Record]", url: str, events: int) -> dict[str, str]:
    """Return one column of the table: figures by name."""
    figures = {"appends/s, 8 writers": f"{await append_rate(url):,.0f}"}
    if events:
        rng = random.Random(events)  # noqa: S311 - positions to read at

        async def read_stream() -> None:
            assert len(await session.fetch(READ_STREAM, f"student-{rng.randint(1, events // 4)}")) == 4

        async def read_log() -> None:
            event = await session.fetchrow(MIDDLE, rng.randint(1, events - 1_000))
            assert event is not None
            assert len(await session.fetch(READ_LOG, event["tx"], event["position"], 500)) == 500

        figures["one stream of 4 events, ms"] = f"{await median_ms(read_stream):.2f}"
        figures["500 events of the log, ms"] = f"{await median_ms(read_log):.2f}"
    for row in await session.fetch(RELATIONS):
        figures[f"{row['relname']}, MB"] = f"{row['bytes'] / 1e6:,.0f}"
    for command in ("VACUUM es.event", "VACUUM (FREEZE) es.event"):
        began = time.perf_counter()
        await session.execute(command)
        figures[f"{command}, s"] = f"{time.perf_counter() - began:.1f}"
    return figures


async def grow(session: "Session[asyncpg.Record]", have: int, want: int) -> float:
    """Write events in bulk until the log has ``want``. Return the events written a second."""
    began = time.perf_counter()
    for first in range(have + 1, want + 1, BATCH):
        await session.execute(GROW, first, min(first + BATCH - 1, want), EVENTS_OF_A_STREAM)
    await session.execute("ANALYZE es.event, es.stream")
    return (want - have) / (time.perf_counter() - began)


async def measure(url: str, sizes: tuple[int, ...]) -> dict[int, dict[str, str]]:
    await runner.migrate(url.replace("postgresql://", "postgresql+asyncpg://"))
    session = await asyncpg.connect(url)
    columns: dict[int, dict[str, str]] = {}
    have = 0
    for want in sizes:
        rate = await grow(session, have, want) if want > have else None
        columns[want] = await measured(session, url, want)
        if rate is not None:
            columns[want]["events/s written in bulk"] = f"{rate:,.0f}"
        have = max(have, want)
        Console(stderr=True).print(f"{want:,}: {columns[want]}", highlight=False)
    await session.close()
    return columns


def main(arguments: list[str]) -> None:
    sizes = tuple(int(argument.replace("_", "")) for argument in arguments) or SIZES
    home = make_folder(data_folder() / f"bench-{os.getpid()}")
    free = shutil.disk_usage(home).free
    if free < max(sizes) * BYTES_OF_AN_EVENT * 2:
        sys.exit(f"{free / 1e9:.0f} GB of disk are free: not enough for {max(sizes):,} events")
    server = Postgres(home / "postgres")
    try:
        server.start()
        columns = asyncio.run(measure(server.dsn, sizes))
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
    table = Table("", *(f"{size:,} events" for size in sizes))
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        table.add_row(name, *(columns[size].get(name, "-") for size in sizes))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
