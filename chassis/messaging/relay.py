"""Send the outbox to Kafka in order. A row is deleted only after Kafka has received it.

Several relays may run. Only the leader sends; it holds an advisory lock. If all of them sent, with ``FOR UPDATE SKIP
LOCKED``, they would reorder streams (measured: 457 inversions in 1,000 events).
"""

import asyncio
import random
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from chassis.errors import Unavailable
from chassis.eventstore.event_store import envelope
from chassis.http.service import background
from chassis.messaging.kafka import client_options
from chassis.messaging.outbox_watch import OutboxWatch
from chassis.messaging.topics import create_topics
from chassis.observability import metrics, tracing
from chassis.observability.error_text import described
from chassis.postgres import notify
from chassis.postgres.leadership import leading
from chassis.settings import KafkaSettings
from contracts.topics import Lane

Session = asyncpg.Connection

LEADER_LOCK = 7_461_923_002
JOBS_PER_TURN = 1_000
BULK_PER_TURN = 500
POLL_S = 0.1
TRY_LOCK_EVERY_S = 0.5
SEND_TIMEOUT_S = 5.0
MAX_PAUSE_S = 3.0
# With these errors, Kafka refuses a row on every retry.
REFUSED_FOR_GOOD = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)

TURN = "SELECT * FROM es.relay_turn($1, $2, $3)"
SENT = "DELETE FROM es.outbox WHERE id = ANY($1::bigint[])"
QUARANTINE = "UPDATE es.outbox SET quarantined_at = clock_timestamp(), error = $2 WHERE id = $1"
log = structlog.get_logger()


class Relay:
    """Sends while it is the leader; otherwise waits to become it."""

    def __init__(self, settings: KafkaSettings, database_url: str, *, poll_s: float = POLL_S) -> None:
        """``poll_s``: how long a row may wait if its notification was lost."""
        self._settings = settings
        self._poll_s = poll_s
        self._url = database_url
        self._wake = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self.leading = False
        self._watch = OutboxWatch(database_url)
        self._bulk_failed = False
        self._ahead: list[asyncpg.Record] = []

    async def run(self) -> None:
        """Relay until cancelled, also while the broker or the database is down."""
        pause_s = 0.25
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._lead()
                except Exception as error:  # noqa: BLE001 - Kafka may fail in any way; the rows stay where they are
                    log.warning("relay.interrupted", reason=described(error))
                finally:
                    self.leading = False
                    metrics.RELAY_LEADER.set(0)
                    # Another relay may lead by now, so this one must not report old values.
                    metrics.OUTBOX_DEPTH.clear()
                    metrics.OUTBOX_AGE.clear()
                    metrics.OUTBOX_QUARANTINED.set(0)
                if asyncio.get_running_loop().time() - began > MAX_PAUSE_S * 3:
                    pause_s = 0.25
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
        finally:
            await self.close()

    async def close(self) -> None:
        await self._drop_producer()

    async def _lead(self) -> None:
        """Become the leader and send until an error occurs. The lock is released with the session."""
        # Not durable: if a crash loses the deletion of a row, the row is only sent twice.
        async with leading(
            self._url, LEADER_LOCK, application_name="placewire-relay", try_every_s=TRY_LOCK_EVERY_S, durable=False
        ) as session:
            self.leading = True
            metrics.RELAY_LEADER.set(1)
            log.info("relay.leads")
            await session.add_listener(notify.OUTBOX, lambda *_: self._wake.set())
            async with background(self._watch.run):
                await self._send_while_broker_answers(session)

    async def _send_while_broker_answers(self, session: "Session[asyncpg.Record]") -> None:
        """Send until the database fails. After an error of Kafka, pause and reconnect, but stay the leader."""
        pause_s, self._ahead = 0.25, []
        while True:
            try:
                self._wake.clear()
                full = await self.turn(session)
                pause_s = 0.25
            except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError):
                raise
            except ConnectionError:
                await self._drop_producer()
                raise
            except Exception as error:  # noqa: BLE001 - Kafka may fail in any way; the rows stay where they are
                log.warning("relay.bus_away", reason=described(error))
                await self._drop_producer()
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
                continue
            if not full:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._wake.wait()

    async def turn(self, session: "Session[asyncpg.Record]") -> bool:
        """Send the jobs lane, then a bounded part of the other lane. Return whether there is more to send."""
        rows, self._ahead = self._ahead or await self._next(session, []), []
        if not rows:
            return False
        sent, failure = [], None
        for lane in (Lane.JOBS, Lane.BULK):
            try:
                sent += await self._send(session, [row for row in rows if row["lane"] == int(lane)])
            except (KafkaError, TimeoutError) as error:
                if lane is Lane.JOBS:
                    raise
                # A failure of the bulk lane must not delay the jobs lane. The rows stay, and a later turn sends them.
                failure = error
            except Exception:
                await session.execute(SENT, sent)  # otherwise the jobs lane would be sent again and again
                raise
        if failure is None:
            self._bulk_failed, self._ahead = False, await self._next(session, sent)
            return bool(self._ahead)
        await session.execute(SENT, sent)
        if not self._bulk_failed:
            log.warning("relay.bulk_lane_fails", reason=described(failure))
        self._bulk_failed = True
        # Connecting again creates missing topics. Otherwise nothing would ever be sent to a deleted topic.
        await self._drop_producer()
        return False

    async def _next(self, session: "Session[asyncpg.Record]", sent: Sequence[int]) -> list[asyncpg.Record]:
        return await session.fetch(TURN, sent, JOBS_PER_TURN, BULK_PER_TURN)

    async def _send(self, session: "Session[asyncpg.Record]", rows: Sequence[asyncpg.Record]) -> list[int]:
        """Send ``rows``. Return the ids of rows that Kafka received. After a failure, delete these rows and raise."""
        if not rows:
            return []
        producer = await self._ready_producer()
        async with asyncio.timeout(SEND_TIMEOUT_S + 1):
            with tracing.sending(rows) as spans:
                # Rows are given to the producer one after the other, so that each key keeps its order.
                pending = [await _start_sending(producer, row, spans.headers(row["id"])) for row in rows]
                answers = await asyncio.gather(*pending, return_exceptions=True)
                for row, answer in zip(rows, answers, strict=True):
                    if isinstance(answer, BaseException):
                        spans.refused(row["id"], answer)
        received, blocked, failure = [], set(), None
        for row, answer in zip(rows, answers, strict=True):
            stream = row["topic"], row["key"]
            if isinstance(answer, BaseException):
                blocked.add(stream)
                if isinstance(answer, REFUSED_FOR_GOOD):
                    await self._quarantine(session, row, answer)
                else:
                    failure = answer
            elif stream not in blocked:
                received.append(row["id"])
                metrics.OUTBOX_SENT.labels(row["topic"]).inc()
        if failure is not None:
            await session.execute(SENT, received)
            raise failure
        return received

    async def _quarantine(self, session: "Session[asyncpg.Record]", row: asyncpg.Record, error: BaseException) -> None:
        log.error("relay.quarantined", key=row["key"], topic=row["topic"], reason=type(error).__name__)
        await session.execute(QUARANTINE, row["id"], type(error).__name__)

    async def _ready_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            await create_topics(self._settings)
            # Not idempotent: an idempotent producer never times out (aiokafka#1101), and never recovers after a clean
            # stop of the broker (aiokafka#1017). Readers recognise repeated events by their ids.
            producer = AIOKafkaProducer(
                **client_options(self._settings) | {"request_timeout_ms": int(SEND_TIMEOUT_S * 1000)},
                acks="all",
                enable_idempotence=False,
                max_batch_size=262_144,
                max_request_size=1_048_576,
                linger_ms=0,
                retry_backoff_ms=250,
                metadata_max_age_ms=60_000,
            )
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await producer.start()
            except BaseException:
                await _stop(producer)
                raise
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)


def _message(row: asyncpg.Record) -> dict[str, Any]:
    key = row["key"].encode()
    extra = row["extra"] or {}
    if row["event_id"] is None:
        sent_at = datetime.fromisoformat(extra["sent_at"]).astimezone(UTC)
        return {"value": sent_at.isoformat().encode(), "key": key, "headers": []}
    event = envelope(row)
    headers = event.kafka_headers() + [(f"placewire_{name}", str(value).encode()) for name, value in extra.items()]
    return {"value": orjson.dumps(event.data), "key": key, "headers": headers}


async def _start_sending(
    producer: AIOKafkaProducer, row: asyncpg.Record, headers: list[tuple[str, bytes]]
) -> Awaitable[object]:
    """Give ``row`` with additional ``headers`` to the producer. Return a future with the answer or the refusal."""
    message = _message(row)
    message["headers"] += headers
    try:
        answer: Awaitable[object] = await producer.send(row["topic"], **message)
    except REFUSED_FOR_GOOD as error:
        refused = asyncio.get_running_loop().create_future()
        refused.set_exception(error)
        return refused
    return answer


async def _stop(producer: AIOKafkaProducer) -> None:
    with suppress(Exception):  # discarded in any case (aiokafka#759: a producer whose start failed cannot stop)
        async with asyncio.timeout(2):
            await producer.stop()
