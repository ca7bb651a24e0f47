"""Kafka as the services see it: the doorbell that says which jobs are waiting."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.middlewares import AckPolicy
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from chassis import telemetry, tracing, undecodable
from chassis.canary import Canary
from chassis.database import Database
from chassis.errors import Contended, Unavailable
from chassis.offsets import Offsets
from chassis.service import background
from chassis.settings import KafkaSettings
from contracts import topics
from contracts.jobs import Service
from contracts.topics import Topic

MAX_RECORDS = 500
REQUEST_TIMEOUT_MS = 5_000
# How soon a consumer notices that a topic came (back).
METADATA_MAX_AGE_MS = 5_000
# Longer than any pause of the database that we want to sit out in the handler.
MAX_POLL_INTERVAL_MS = 600_000
DATABASE_PAUSE_S = 1.0
# aiokafka's and FastStream's stop() can wait for ever (aiokafka#1101).
STOP_TIMEOUT_S = 10.0

SILENT_CHECK_S = 5.0
SILENT_CHECKS = 4
CANARY_IS_FRESH = """
SELECT coalesce((SELECT es.age_s(seen_at) < 15 FROM es.canary WHERE service = $1), false)
"""
# The canaries do leave: the outbox is (nearly) empty, or, where rows of a quarantined key stay in it, others see them.
RELAY_SENDS = """
SELECT NOT EXISTS (SELECT FROM es.outbox WHERE lane = 0 AND es.age_s(queued_at) > 5)
    OR EXISTS (SELECT FROM es.canary WHERE service <> $1 AND es.age_s(sent_at) < 5)
"""

Receive = Callable[[Sequence[UUID]], Awaitable[object]]
Records: TypeAlias = tuple["ConsumerRecord[bytes, bytes]", ...]

log = structlog.get_logger()


def security_of(settings: KafkaSettings) -> BaseSecurity | None:
    """FastStream's description of how to connect; ``None`` for plain text."""
    tls = settings.kafka_security_protocol.endswith("SSL")
    context = (
        create_ssl_context(
            cafile=settings.kafka_ssl_ca_file,
            certfile=settings.kafka_ssl_cert_file,
            keyfile=settings.kafka_ssl_key_file,
        )
        if tls
        else None
    )
    if settings.kafka_security_protocol.startswith("SASL"):
        kind = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        password = settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else ""
        return kind[settings.kafka_sasl_mechanism](
            username=settings.kafka_sasl_username or "", password=password, use_ssl=tls, ssl_context=context
        )
    return BaseSecurity(ssl_context=context, use_ssl=True) if tls else None


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Connection settings in the words of an aiokafka client."""
    security = security_of(settings)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": security.ssl_context if security else None,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else None
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password,
        }
    return options


class Consumer:
    """One member of the consumer group ``service``: turns records into received jobs, and stamps the canary.

    It never works on a job, so no job however long can trip the group. Offsets are committed once the jobs are
    received; while the database is away the records wait here, uncommitted.
    """

    def __init__(
        self, settings: KafkaSettings, database: Database, service: Service, heard: Sequence[Topic], receive: Receive
    ) -> None:
        self._settings = settings
        self._database = database
        self._service = service
        self._topics = [topic.name for topic in heard] + [topics.CANARY.name]
        self._receive = receive
        self._offsets = Offsets()
        self._canary = Canary(database, service)

    async def run(self) -> None:
        """Consume until cancelled. Without a broker: try again, for ever, with a pause of at most 3 s."""
        pause_s = 0.5
        while True:
            broker, self._offsets = self.broker(), Offsets()
            try:
                await self._until_topics_exist()
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000 * 3):
                    await broker.start()
                log.info("consumer.joined", topics=self._topics)
                pause_s = 0.5
                async with self._offsets.committing(), background(self._canary.run):
                    await self._watch(broker)
            except Exception as error:  # noqa: BLE001 - the bus may fail in any way; the service goes on
                log.warning("consumer.bus_away", reason=f"{type(error).__name__}: {error}")
            finally:
                await _stop(broker)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, 3.0)

    def broker(self) -> KafkaBroker:
        """The FastStream broker with its one subscriber, not yet started."""
        broker = KafkaBroker(
            self._settings.kafka_bootstrap_servers.split(","),
            security=security_of(self._settings),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            consumer_only=True,
            allow_auto_create_topics=False,
            graceful_timeout=STOP_TIMEOUT_S,
            parser=_unread,
            decoder=_itself,
            # Its injection of arguments takes a thread for each message (measured: a fifth of the consumer's time).
            apply_types=False,
            logger=None,
        )
        subscriber = broker.subscriber(
            *self._topics,
            batch=True,
            # Not used by `_next_records`. Should a new version of FastStream stop calling that, every test will tell.
            batch_timeout_ms=30_000,
            group_id=f"placewire-{self._service}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
        )
        # FastStream's own sleeps up to 200 ms after an empty poll, which the next record then waits for.
        subscriber.get_msg = _next_records  # type: ignore[method-assign]
        subscriber(self._on_records)
        return broker

    async def _on_records(self, message: KafkaMessage) -> None:
        records = message.raw_message if isinstance(message.raw_message, tuple) else (message.raw_message,)
        while True:
            try:
                await self._take(records)
                self._offsets.received(message.consumer, records)
                return
            except (Unavailable, Contended) as error:
                log.warning("consumer.database_away", reason=str(error), records=len(records))
                await asyncio.sleep(DATABASE_PAUSE_S)
            except Exception as error:
                log.error("consumer.records_failed", records=len(records), exc_info=error)
                await asyncio.sleep(DATABASE_PAUSE_S)
                _rewind(message.consumer, records)
                return

    async def _take(self, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
        ids: list[UUID] = []
        asking: list[ConsumerRecord[bytes, bytes]] = []
        canary: datetime | None = None
        for record in records:
            telemetry.CONSUMED.labels(self._service, record.topic).inc()
            try:
                if record.topic == topics.CANARY.name:
                    canary = datetime.fromisoformat((record.value or b"").decode())
                elif (id_ := undecodable.job_named_by(dict(record.headers), self._service)) is not None:
                    ids.append(id_)
                    asking.append(record)
            except (KeyError, ValueError) as error:
                await self._keep_raw(record, error)
        if ids:
            with tracing.receiving(asking):
                await self._receive(ids)
        if canary is not None:
            self._canary.seen(canary)

    async def _keep_raw(self, record: "ConsumerRecord[bytes, bytes]", error: Exception) -> None:
        telemetry.UNDECODABLE.labels(self._service, record.topic).inc()
        log.error("record.undecodable", topic=record.topic, partition=record.partition, offset=record.offset)
        async with self._database.transaction() as connection:
            await undecodable.keep_raw(connection, self._service, record, f"{type(error).__name__}: {error}")

    async def _until_topics_exist(self) -> None:
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        try:
            await admin.start()
            if missing := set(self._topics) - set(await admin.list_topics()):
                log.info("consumer.waits_for_topics", missing=sorted(missing))
            while set(self._topics) - set(await admin.list_topics()):
                await asyncio.sleep(0.5)
        finally:
            await admin.close()

    async def _watch(self, broker: KafkaBroker) -> None:
        """Return when the group makes no progress though the broker answers (aiokafka#625, #1037: silent stops)."""
        silent = 0
        while silent < SILENT_CHECKS:
            await asyncio.sleep(SILENT_CHECK_S)
            try:
                async with self._database.connection() as connection:
                    fresh = await connection.fetchval(CANARY_IS_FRESH, self._service)
                    sent = await connection.fetchval(RELAY_SENDS, self._service)
            except Unavailable:
                continue
            silent = 0 if fresh or not sent or not await broker.ping(timeout=2) else silent + 1
        log.error("consumer.silent")


async def _unread(records: Records, parse: Callable[[Records], Awaitable[KafkaMessage]]) -> KafkaMessage:
    """FastStream's parser decodes all headers; of what that raises nobody hears, and the records are passed over."""
    message = await parse((replace(records[0], headers=()),))
    message.raw_message = records
    return message


def _rewind(consumer: AIOKafkaConsumer, records: Records) -> None:
    """All of them again, from the first of each partition on; not of those that have moved to another consumer."""
    first: dict[TopicPartition, int] = {}
    for record in records:
        partition = TopicPartition(record.topic, record.partition)
        first[partition] = min(record.offset, first.get(partition, record.offset))
    for partition in first.keys() & consumer.assignment():
        consumer.seek(partition, first[partition])


async def _itself(message: KafkaMessage) -> KafkaMessage:
    return message


async def _next_records(consumer: AIOKafkaConsumer) -> Records:
    first = await consumer.getone()
    try:
        more = await consumer.getmany(timeout_ms=0, max_records=MAX_RECORDS)
    except KafkaError as error:
        log.warning("consumer.no_more_records", reason=type(error).__name__)  # the first one counts all the same
        return (first,)
    return (first, *chain(*more.values()))


async def _stop(broker: KafkaBroker) -> None:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await broker.stop()
    except Exception as error:  # noqa: BLE001 - given up; the process or a new broker object goes on
        log.warning("consumer.stop_failed", reason=f"{type(error).__name__}: {error}")
