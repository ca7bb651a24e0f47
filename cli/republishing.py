"""Put old events in the outbox again: for a topic that was deleted, or for a new reader.

An event that Kafka refuses for good stays in the outbox, as do later events with its key. The command reports these
events and does not wait for them.

An outbox row holds only the id of its event, so only ids are copied. The rows of every topic go in the bulk lane, and
at most ``MAX_WAITING`` rows wait at a time. So jobs are never delayed, and new events of the bulk lane only by these
rows. A new event can overtake old events of its stream: ``docs/republish.md`` explains what a reader must do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.postgres import notify
from chassis.postgres.database import Connection, Database
from cli.failures import WRONG_USE, Failure
from contracts import topics
from contracts.students import StudentEnrolled, StudentRecordRevised
from contracts.topics import Lane
from contracts.users import UserDetailsRevised

BATCH = 1_000
# More rows would only make scans of the outbox slower.
MAX_WAITING = 3_000
# How many positions one statement scans. Readers of the log wait for its transaction, so it must be short.
WINDOW = 50_000
POLL_S = 0.1
REMEDY = "What to do: docs/runbooks.md, PlacewireQuarantinedKeys"
SENT_WITH = '{"republished": true}'

# Events of these types with a causation_id come from an import, which has published an event of its own for them all.
OF_IMPORTS = (StudentEnrolled.TYPE, StudentRecordRevised.TYPE, UserDetailsRevised.TYPE)
# Only events that the snapshot $3 sees. Later events are sent anyway, from their own outbox rows.
# Plan: index scan on event_pkey. Within a stream positions rise with versions, so each stream keeps its order.
MATCHING = f"""
  FROM es.event
 WHERE position > $1 AND position <= $2 AND pg_visible_in_snapshot(xid, (SELECT $3::text::pg_snapshot))
   AND split_part(stream_id, '-', 1) = ANY ($4)
   AND ($5 OR type <> ALL ('{{{",".join(OF_IMPORTS)}}}') OR NOT metadata ? 'causation_id')
"""
COUNT = f"SELECT count(*) AS count, min(position) AS first, max(position) AS last {MATCHING}"
END = "SELECT es.log_snapshot()::text AS snapshot, coalesce(max(position), 0) AS last FROM es.event"
PUT = f"""
WITH chosen AS MATERIALIZED (SELECT position, stream_id, event_id {MATCHING} ORDER BY position LIMIT $6), put AS (
    INSERT INTO es.outbox (lane, topic, key, event_id, extra)
    SELECT $7, $8, stream_id, event_id, $9::jsonb FROM chosen ORDER BY position
)
SELECT count(*) AS count, max(position) AS last FROM chosen
"""  # noqa: S608
LAST_ROW = "SELECT coalesce(max(id), 0) FROM es.outbox"
# ``held``: rows after $3 that the relay does not send (es.relay_turn). Index scan on outbox_quarantine.
WAITING = """
SELECT count(*) FILTER (WHERE NOT held) AS waiting, count(*) FILTER (WHERE held AND id > $3) AS held
  FROM (SELECT o.id, EXISTS (SELECT FROM es.outbox q WHERE q.key = o.key AND q.topic = o.topic
                                AND q.quarantined_at IS NOT NULL) AS held
          FROM es.outbox o WHERE o.lane = $1 AND o.topic = $2 AND o.extra ? 'republished') AS ours
"""
# The limits of roles are for services. This session reads the whole log and writes few rows at a time.
NO_LIMITS = "SET statement_timeout = 0; SET transaction_timeout = 0"


@dataclass(frozen=True, slots=True)
class EventRange:
    """The events of a topic from ``first`` to ``last``, both included. ``imported``: also students of bulk imports."""

    topic: str
    first: int
    last: int | None = None
    imported: bool = True

    @property
    def stream_types(self) -> list[str]:
        return [kind for kind, topic in topics.BY_STREAM_TYPE.items() if topic.name == self.topic]


@dataclass(frozen=True, slots=True)
class EventCount:
    """The number of events in a range, and the positions of the first and the last."""

    count: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Republished:
    """The result. ``events``: how many were put in the outbox. ``held``: how many of these Kafka blocks.

    Kafka refuses a held event, or an earlier event with the same key.
    """

    events: int
    held: int


def topic_named(name: str) -> str:
    """Return the full name of ``student`` or ``placewire.student``. Raises ``Failure`` listing the valid names."""
    names = sorted({topic.name for topic in topics.BY_STREAM_TYPE.values()})
    found = [full for full in names if name in (full, full.rpartition(".")[2])]
    if not found:
        raise Failure(f"there is no topic {name} of events; there are {', '.join(names)}", WRONG_USE)
    return found[0]


async def count(database: Database, event_range: EventRange) -> EventCount:
    async with _unlimited(database) as connection:
        row = await connection.fetchrow(COUNT, *await _bounds(connection, event_range))
    assert row is not None
    return EventCount(**row)


async def republish(
    database: Database, event_range: EventRange, put: Callable[[int, int], None], *, batch: int = BATCH
) -> Republished:
    """Put the events of ``event_range`` in the outbox, batch by batch, as fast as the relay sends them.

    ``put`` is called with the size and the last position of each batch. An interrupted run can be resumed after this
    position. Waits while the relay or Kafka is down. Returns when every event is sent or held. Raises ``Failure`` when
    more than ``MAX_WAITING`` events are held.
    """
    done = 0
    async with _unlimited(database) as connection:
        before = await connection.fetchval(LAST_ROW)
        first, last, snapshot, kinds, imported = await _bounds(connection, event_range)
        while first < last:
            held = await _until_few_wait(connection, event_range.topic, MAX_WAITING - batch, since=before)
            if held > MAX_WAITING:
                raise Failure(
                    f"Kafka refuses the topic: {held:,} events of {event_range.topic} are held back. {REMEDY}"
                )
            end = min(first + WINDOW, last)
            row = await connection.fetchrow(
                PUT, first, end, snapshot, kinds, imported, batch, int(Lane.BULK), event_range.topic, SENT_WITH
            )
            assert row is not None
            first = row["last"] if row["count"] == batch else end
            if row["count"]:
                await connection.execute("SELECT pg_notify($1, '')", notify.OUTBOX)
                done += row["count"]
                put(row["count"], row["last"])
        held = await _until_few_wait(connection, event_range.topic, 0, since=before)
    return Republished(done, held)


@asynccontextmanager
async def _unlimited(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as connection:
        await connection.execute(NO_LIMITS)
        yield connection


async def _bounds(connection: Connection, event_range: EventRange) -> tuple[int, int, str, list[str], bool]:
    row = await connection.fetchrow(END)
    assert row is not None
    last = row["last"] if event_range.last is None else min(event_range.last, row["last"])
    return event_range.first - 1, last, row["snapshot"], event_range.stream_types, event_range.imported


async def _until_few_wait(connection: Connection, topic: str, few: int, *, since: int) -> int:
    """Wait until at most ``few`` rows are left to send. Return how many of the rows after ``since`` are held."""
    while True:
        row = await connection.fetchrow(WAITING, int(Lane.BULK), topic, since)
        assert row is not None
        if row["waiting"] <= few:
            return int(row["held"])
        await asyncio.sleep(POLL_S)
