"""Jobs given up: their copies on the dead-letter topic, and the records that could not even be read."""

from collections.abc import Mapping

import orjson

from chassis.database import Connection
from chassis.jobs import Claim
from contracts import topics
from contracts.jobs import Service

COPY = "INSERT INTO es.outbox (lane, topic, key, event_id, extra) VALUES ($1, $2, $3, $4, $5)"
KEEP_RAW = """
INSERT INTO es.undecodable (service, topic, partition, "offset", key, value, headers, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""


async def copy(connection: Connection, service: Service, claimed: Claim, reason: str) -> None:
    """Send the job's event once more, to the dead letters of ``service``, with the reason among its headers."""
    topic = topics.dead_letters(service)
    extra = orjson.dumps({"reason": reason, "attempts": str(claimed.attempts)}).decode()
    await connection.execute(COPY, int(topic.lane), topic.name, claimed.subject, claimed.id, extra)


async def keep_raw(
    connection: Connection,
    service: Service,
    place: tuple[str, int, int],
    key: bytes | None,
    value: bytes | None,
    headers: Mapping[str, str],
    error: str,
) -> None:
    """Keep a record that cannot be read, once per ``place`` (topic, partition, offset)."""
    await connection.execute(KEEP_RAW, service, *place, key, value, orjson.dumps(dict(headers)).decode(), error)
