"""Append-only streams in Postgres: the system of record. ``es.append``: migrations/functions/es.append.sql."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from chassis.errors import Conflict, Invalid
from chassis.postgres.database import Connection
from contracts import topics
from contracts.catalogue import read_event
from contracts.jobs import KIND_OF, OWNER
from contracts.message import Envelope, Event

# Limit of a Kafka message. Larger data stays in the database, and the event refers to it.
MAX_EVENT_BYTES = 256 * 1024

APPEND = "SELECT stream_version, duplicate FROM es.append($1, $2, $3, $4, $5)"

# Appends in the order of the arrays.
APPEND_ALL = """
SELECT es.append(one.stream, -1, one.topic, one.lane, one.events)
  FROM unnest($1::text[], $2::text[], $3::smallint[], $4::jsonb[]) AS one (stream, topic, lane, events)
"""

READ_STREAM = """
SELECT position, stream_id, version, event_id, type, data, metadata, recorded_at
  FROM es.event WHERE stream_id = $1 ORDER BY version
"""

# Index scan on event_tx_position. Below xmin every transaction has ended, so nothing can appear behind the cursor.
# ORDER BY uses the column event.tx. Ordering by the selected bigint of the same name would sort the rest of the log.
READ_LOG = """
SELECT tx::text::bigint AS tx, position, stream_id, version, event_id, type, data, metadata, recorded_at
  FROM es.event
 WHERE (tx, position) > ($1::bigint::text::xid8, $2::bigint) AND tx < es.log_horizon()
 ORDER BY event.tx, position LIMIT $3
"""

# The same rows. Only events of the types $4 have data and metadata (NULL: events of all types).
READ_PAGE = f"""
SELECT tx, position, stream_id, version, event_id, type, recorded_at,
       CASE WHEN wanted THEN data END AS data, CASE WHEN wanted THEN metadata END AS metadata, wanted
  FROM (SELECT page.*, coalesce(type = ANY ($4::text[]), true) AS wanted FROM ({READ_LOG}) page) marked
 ORDER BY tx, position
"""  # noqa: S608 - a constant

NewId = Callable[[int], UUID]


def fresh_ids(_ordinal: int) -> UUID:
    """Return a new, time-ordered id (UUIDv7)."""
    return uuid7()


def keyed_ids(namespace: UUID, name: str) -> NewId:
    """Return a function that makes the same ids for the same ``name`` (UUIDv5), so that repeats are detected."""
    return lambda ordinal: uuid5(namespace, f"{name}/{ordinal}")


@dataclass(frozen=True, slots=True)
class Cause:
    """Who or what caused an event, with correlation and trace. Each event stores a copy in its metadata."""

    source: str
    correlation_id: UUID
    actor_id: int | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None

    def metadata(self) -> dict[str, Any]:
        fields = {
            "source": self.source,
            "correlation_id": str(self.correlation_id),
            "actor_id": self.actor_id,
            "causation_id": str(self.causation_id) if self.causation_id else None,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of the log. ``event``: in its newest version; ``data``: as stored."""

    position: int
    stream: str
    version: int
    id: UUID
    type: str
    event: Event
    data: dict[str, Any]
    metadata: dict[str, Any]
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Appended:
    """``version``: the stream's version now. ``duplicate``: the ids existed already, and nothing changed."""

    ids: tuple[UUID, ...]
    version: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Addition:
    """Events to append to ``stream``, at any version."""

    stream: str
    events: Sequence[Event]
    cause: Cause
    new_id: NewId


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position in the log; ``Cursor()`` is before the first event."""

    tx: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of the log in order. Those of unwanted types have no data."""

    rows: Sequence[asyncpg.Record]

    @property
    def end(self) -> Cursor:
        """Return the position of the last event, wanted or not. The page must not be empty."""
        return Cursor(self.rows[-1]["tx"], self.rows[-1]["position"])

    def events(self) -> list[Recorded]:
        """Return the events of wanted types. Raises the errors of ``read_event``."""
        return [_recorded(row) for row in self.rows if row["wanted"]]


async def append(
    connection: Connection,
    stream: str,
    events: Sequence[Event],
    cause: Cause,
    *,
    expected_version: int | None,
    new_id: NewId = fresh_ids,
) -> Appended:
    """Append ``events`` to ``stream``, and write outbox, jobs and read tables, in the caller's transaction.

    Takes one round trip.
    ``expected_version``: 0 for a new stream, ``None`` for any version.
    Raises ``Conflict`` if the stream is at another version, and ``Invalid`` (413) if the events are too large for
    Kafka. Nothing is written then.
    """
    ids = tuple(new_id(ordinal) for ordinal in range(len(events)))
    topic = topics.of_stream(stream)
    expected = -1 if expected_version is None else expected_version
    try:
        row = await connection.fetchrow(
            APPEND, stream, expected, topic.name, int(topic.lane), _rows(ids, events, cause).decode()
        )
    except asyncpg.PostgresError as error:
        if error.sqlstate == "ES001":
            raise Conflict(f"{stream} is not at version {expected_version} any more") from error
        raise
    assert row is not None
    return Appended(ids, row["stream_version"], row["duplicate"])


async def append_all(connection: Connection, additions: Sequence[Addition]) -> None:
    """Append ``additions`` in order, in the caller's transaction, in one round trip. Raises as ``append`` does."""
    if additions:
        await connection.fetch(APPEND_ALL, *arrays(additions))


def arrays(additions: Sequence[Addition]) -> tuple[list[str], list[str], list[int], list[str]]:
    """Return the arguments of a statement that appends: streams, topics, lanes and events."""
    streams = [addition.stream for addition in additions]
    topics_ = [topics.of_stream(stream) for stream in streams]
    rows = [
        _rows([added.new_id(ordinal) for ordinal in range(len(added.events))], added.events, added.cause).decode()
        for added in additions
    ]
    return streams, [topic.name for topic in topics_], [int(topic.lane) for topic in topics_], rows


def _rows(ids: Sequence[UUID], events: Sequence[Event], cause: Cause) -> bytes:
    metadata = cause.metadata()
    rows = []
    for id_, event in zip(ids, events, strict=True):
        row: dict[str, Any] = {
            "id": str(id_),
            "type": event.TYPE,
            "data": event.model_dump(mode="json"),
            "metadata": metadata,
        }
        if (kind := KIND_OF.get(event.TYPE)) is not None:
            row["job"] = {"service": OWNER[kind], "kind": kind, "requested_by": cause.actor_id}
        rows.append(row)
    body = orjson.dumps(rows)
    if len(body) > MAX_EVENT_BYTES:
        raise Invalid(f"The data is too large for one Kafka message: {len(body) // 1024} KiB.", status=413)
    return body


async def read(connection: Connection, stream: str) -> list[Recorded]:
    """Return every event of ``stream``, oldest first; empty when there is no such stream."""
    return [_recorded(row) for row in await connection.fetch(READ_STREAM, stream)]


async def read_log(connection: Connection, after: Cursor, *, limit: int) -> list[tuple[Cursor, Recorded]]:
    """Return up to ``limit`` events of the log after ``after``, each stream in order. No event is ever skipped.

    Empty when there is no new event below the oldest transaction that still runs.
    """
    rows = await connection.fetch(READ_LOG, after.tx, after.position, limit)
    return [(Cursor(row["tx"], row["position"]), _recorded(row)) for row in rows]


async def read_page(connection: Connection, after: Cursor, *, limit: int, types: Sequence[str] | None) -> Page:
    """Return the next ``limit`` events as ``read_log`` does. Those of ``types`` (``None``: all) are marked wanted."""
    return Page(await connection.fetch(READ_PAGE, after.tx, after.position, limit, types))


def _recorded(row: asyncpg.Record) -> Recorded:
    return Recorded(
        position=row["position"],
        stream=row["stream_id"],
        version=row["version"],
        id=row["event_id"],
        type=row["type"],
        event=read_event(row["type"], row["data"]),
        data=row["data"],
        metadata=row["metadata"],
        recorded_at=row["recorded_at"],
    )


def envelope(row: asyncpg.Record) -> Envelope:
    """Return the CloudEvent of a row with the columns of ``es.event``."""
    metadata = row["metadata"]
    return Envelope(
        id=row["event_id"],
        type=row["type"],
        source=f"/placewire/{metadata['source']}",
        subject=row["stream_id"],
        time=row["recorded_at"],
        streamversion=row["version"],
        correlationid=metadata["correlation_id"],
        causationid=metadata.get("causation_id"),
        actorid=metadata.get("actor_id"),
        traceparent=metadata.get("traceparent"),
        data=row["data"],
    )
