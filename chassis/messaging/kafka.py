"""Consume the Kafka records that wake the worker of a service."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from faststream.kafka import KafkaBroker
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from prometheus_client import REGISTRY

from chassis.errors import Unavailable
from chassis.http.service import background
from chassis.messaging.probe import ProbeRecorder
from chassis.messaging.subscribers import Subscribe, UnreadableRecords, WakeWorker, subscribe_service
from chassis.observability import tracing
from chassis.postgres.database import Database
from chassis.settings import KafkaSettings
from contracts import topics
from contracts.jobs import Service
from contracts.topics import Topic

REQUEST_TIMEOUT_MS = 5_000
# How soon a consumer notices a topic that was created.
METADATA_MAX_AGE_MS = 5_000
# stop() of aiokafka and FastStream can wait without end (aiokafka#1101). While Kafka is away, it also waits to commit
# offsets. Lost offsets are harmless, because a record only wakes the worker.
STOP_TIMEOUT_S = 2.0
# Kafka counts as unavailable when no probe has arrived for this long.
HEALTHY_PROBE_AGE_S = 3.0

# A silent consumer is replaced 12 to 14 s after its last record, if the relay sends probes and the broker answers.
SILENT_CHECK_S = 2.0
SILENT_CHECKS = 3
PROBE_IS_FRESH = """
SELECT coalesce((SELECT es.age_s(seen_at) < 8 FROM es.probe WHERE service = $1), false)
"""
# True if the relay sends: no row of the jobs lane is older than 5 s, or another service received a probe. The second
# condition is needed because rows of a quarantined key stay in the outbox.
RELAY_SENDS = """
SELECT NOT EXISTS (SELECT FROM es.outbox WHERE lane = 0 AND es.age_s(queued_at) > 5)
    OR EXISTS (SELECT FROM es.probe WHERE service <> $1 AND es.age_s(sent_at) < 5)
"""

log = structlog.get_logger()


def security_of(settings: KafkaSettings) -> BaseSecurity | None:
    """Return FastStream's security settings; ``None`` when the connection uses neither TLS nor SASL."""
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
        classes = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        password = settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else ""
        return classes[settings.kafka_sasl_mechanism](
            username=settings.kafka_sasl_username or "", password=password, use_ssl=tls, ssl_context=context
        )
    return BaseSecurity(ssl_context=context, use_ssl=True) if tls else None


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the connection settings as arguments of an aiokafka client."""
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
    """The FastStream subscriber of ``service``. All replicas of the service are one consumer group.

    A record only wakes the worker. If it is lost, repeated or late, that costs at most one poll interval.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        database: Database,
        service: Service,
        consumed: list[Topic],
        subscribe: Subscribe,
        wake: WakeWorker,
    ) -> None:
        self._settings = settings
        self._database = database
        self._service = service
        self._topics = [topic.name for topic in consumed] + [topics.PROBE.name]
        self._subscribe = subscribe
        self._wake = wake
        self._probe = ProbeRecorder(database, service)
        metrics = KafkaPrometheusMiddleware(registry=REGISTRY, app_name=service, metrics_prefix="placewire")
        self._middlewares = [*tracing.broker_middlewares(), metrics, UnreadableRecords(service)]

    def is_healthy(self) -> bool:
        """Return whether a probe arrived through Kafka within the last ``HEALTHY_PROBE_AGE_S`` seconds."""
        return self._probe.seen_within(HEALTHY_PROBE_AGE_S)

    async def run(self) -> None:
        """Consume until cancelled. While the broker is away, try again after pauses that grow to about 3 s."""
        pause_s = 0.5
        while True:
            broker = self.broker()
            try:
                await self._wait_for_topics()
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000 * 3):
                    await broker.start()
                log.info("consumer.joined", topics=self._topics)
                pause_s = 0.5
                async with background(self._probe.run):
                    await self._watch()
            except Exception as error:  # noqa: BLE001 - Kafka may fail in any way; the service keeps running
                log.warning("consumer.bus_away", reason=f"{type(error).__name__}: {error}")
            finally:
                await _stop(broker)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, 3.0)

    def broker(self) -> KafkaBroker:
        """Return the FastStream broker with its one subscriber, not yet started."""
        broker = KafkaBroker(
            self._settings.kafka_bootstrap_servers.split(","),
            security=security_of(self._settings),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            consumer_only=True,
            allow_auto_create_topics=False,
            graceful_timeout=STOP_TIMEOUT_S,
            middlewares=self._middlewares,
            logger=None,
        )
        subscribe_service(
            broker, self._service, self._topics, self._subscribe, wake=self._wake, probe_seen=self._probe.seen
        )
        return broker

    async def _wait_for_topics(self) -> None:
        async with self._admin() as admin:
            if missing := set(self._topics) - set(await admin.list_topics()):
                log.info("consumer.waits_for_topics", missing=sorted(missing))
            while set(self._topics) - set(await admin.list_topics()):
                await asyncio.sleep(0.5)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()

    async def _broker_answers(self) -> bool:
        """Return whether Kafka answers within 2 s. (``KafkaBroker.ping`` is false for a broker that only consumes.)"""
        try:
            async with asyncio.timeout(2), self._admin() as admin:
                await admin.list_topics()
        except (KafkaError, TimeoutError):
            return False
        return True

    async def _watch(self) -> None:
        """Return when no replica receives probes, although the relay sends them and the broker answers.

        A task of aiokafka's consumer can end without an error. An example: it writes to a connection that the broker
        has just closed (aiokafka#1038, #983, #625).
        """
        silent = 0
        while silent < SILENT_CHECKS:
            await asyncio.sleep(SILENT_CHECK_S)
            try:
                async with self._database.connection() as connection:
                    fresh = await connection.fetchval(PROBE_IS_FRESH, self._service)
                    sent = await connection.fetchval(RELAY_SENDS, self._service)
            except Unavailable:
                continue
            silent = 0 if fresh or not sent or not await self._broker_answers() else silent + 1
        log.error("consumer.silent")


async def _stop(broker: KafkaBroker) -> None:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await broker.stop()
    except Exception as error:  # noqa: BLE001 - best effort; the caller exits or creates a new broker
        log.warning("consumer.stop_failed", reason=f"{type(error).__name__}: {error}")
