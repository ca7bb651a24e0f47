"""Records that could not be read: kept raw, shown, and settled by people.

Nothing hangs on them: a job is in the database before its record is on the bus, and the sweep hands over what a record
failed to bring. To redrive one means to read it again, by this release.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import orjson

from chassis import jobs
from chassis.database import Connection
from chassis.dead_letters import By
from chassis.errors import NotFound, Refused
from contracts.jobs import KIND_OF, OWNER, Service, Via

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

KEEP_RAW = """
INSERT INTO es.undecodable (service, topic, partition, "offset", key, value, headers, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""
_COLUMNS = 'id, service, topic, partition, "offset", key, value, headers, error, received_at, settled_at'
# Index scan backward on undecodable_open.
LIST = f"""
SELECT {_COLUMNS} FROM es.undecodable
 WHERE settled_at IS NULL AND ($1::text IS NULL OR service = $1) AND ($2::bigint IS NULL OR id < $2)
 ORDER BY id DESC LIMIT $3
"""  # noqa: S608
SHOW = f"SELECT {_COLUMNS} FROM es.undecodable WHERE id = $1"  # noqa: S608
HISTORY = """
SELECT action, actor, reason, error, attempts, at FROM es.dead_letter_action WHERE undecodable_id = $1 ORDER BY id
"""
SETTLE = """
WITH settled AS (
    UPDATE es.undecodable SET settled_at = clock_timestamp() WHERE id = $1 AND settled_at IS NULL RETURNING id, error
)
INSERT INTO es.dead_letter_action (undecodable_id, action, actor, reason, error)
SELECT id, $2, $3, $4, error FROM settled
"""


def job_named_by(headers: Mapping[str, bytes | None], service: Service) -> UUID | None:
    """The job that a record's headers ask ``service`` for; ``None`` when they ask it for nothing.

    Raises ``KeyError`` or ``ValueError`` when they are no event of ours.
    """
    kind = KIND_OF.get(_text(headers, "ce_type"))
    return UUID(_text(headers, "ce_id")) if kind is not None and OWNER[kind] == service else None


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    if (value := headers[name]) is None:
        raise ValueError(f"{name} is null")
    return value.decode()


async def keep_raw(
    connection: Connection, service: Service, record: "ConsumerRecord[bytes, bytes]", error: str
) -> None:
    """Keep a record that cannot be read, once per topic, partition and offset."""
    place = (record.topic, record.partition, record.offset)
    headers = {_kept(name.encode()): None if value is None else _kept(value) for name, value in record.headers}
    await connection.execute(
        KEEP_RAW, service, *place, record.key, record.value, orjson.dumps(headers).decode(), _kept(error.encode())
    )


def _kept(value: bytes) -> str:
    r"""As text that Postgres takes: other bytes as ``\xff``, and NUL, which it never takes, in the same way."""
    return value.decode(errors="backslashreplace").replace("\0", r"\x00")


async def newest(
    connection: Connection, service: Service | None, *, before: int | None, most: int
) -> list[asyncpg.Record]:
    """Up to ``most`` that nobody has settled, newest first. ``before``: the last id of the page before."""
    return await connection.fetch(LIST, service, before, most)


async def show(connection: Connection, record_id: int) -> tuple[asyncpg.Record, list[asyncpg.Record]]:
    """The record, settled or not, and what was done about it. Raises ``NotFound``."""
    row = await connection.fetchrow(SHOW, record_id)
    if row is None:
        raise NotFound("There is no such record.")
    return row, await connection.fetch(HISTORY, record_id)


async def redrive(connection: Connection, record_id: int, by: By) -> UUID | None:
    """Read the record again, and receive the job it names; ``None``: it asks for nothing.

    Raises ``NotFound``, and ``Refused`` when it still cannot be read, or is settled.
    """
    row, _ = await show(connection, record_id)
    service = Service(row["service"])
    try:
        job_id = job_named_by({name: value and value.encode() for name, value in row["headers"].items()}, service)
    except (KeyError, ValueError) as error:
        raise Refused(f"It still cannot be read: {type(error).__name__}: {error}") from error
    await _settle(connection, record_id, "redriven", by)
    if job_id is not None:
        await jobs.receive(connection, service, [job_id], Via.BUS)
    return job_id


async def discard(connection: Connection, record_id: int, by: By) -> None:
    """Raises ``NotFound``, and ``Refused`` when it is settled already."""
    await show(connection, record_id)
    await _settle(connection, record_id, "discarded", by)


async def _settle(connection: Connection, record_id: int, action: str, by: By) -> None:
    done = await connection.execute(SETTLE, record_id, action, by.actor, by.reason)
    if not done.endswith(" 1"):
        raise Refused("Somebody has dealt with this record already.")
