"""The FastStream subscriber of a service: it reads CloudEvents and wakes the worker.

The module ``subscribers`` of each service has one typed handler for each event that the service acts on.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from faststream import BaseMiddleware
from faststream.kafka import KafkaBroker

from chassis.observability import metrics
from contracts import topics
from contracts.jobs import Channel, Service
from contracts.message import Event

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord
    from faststream import ContextRepo, StreamMessage

WakeWorker = Callable[[UUID, Channel], None]
# Wakes the worker for the job of the record that is being handled.
WakeForRecord = Callable[[], None]
# Adds the handlers of a service to its subscriber.
Subscribe = Callable[[Any, WakeForRecord], None]

log = structlog.get_logger()


def of(event_class: type[Event]) -> "Callable[[StreamMessage[Any]], Awaitable[bool]]":
    """Return a FastStream filter that passes the messages of ``event_class``.

    Filters must be coroutine functions: FastStream runs others in a thread, once for each record.
    """

    async def passes(message: "StreamMessage[Any]") -> bool:
        return message.headers.get("ce_type") == event_class.TYPE

    return passes


def subscribe_service(
    broker: KafkaBroker,
    service: Service,
    topic_names: list[str],
    subscribe: Subscribe,
    *,
    wake: WakeWorker,
    probe_seen: Callable[[datetime], None],
) -> None:
    """Add the subscriber of ``service`` to ``broker``. ``subscribe`` adds the service's handlers to the subscriber.

    The subscriber acknowledges a record before it handles it: a lost wake-up does no harm.
    """

    def wake_for_record() -> None:
        # A job has the id of its event. Handlers have no Context() parameters: FastStream 0.7.8 resolves each in a
        # thread. With two such parameters, and filters in threads, a service read only 200 records a second.
        wake(UUID(broker.context.get_local("message").message_id), Channel.KAFKA)

    async def probe(sent_at: datetime) -> None:
        """Record that Kafka delivers to this service."""
        probe_seen(sent_at)

    async def other_events() -> None:
        """Ignore an event that this service does not act on."""

    subscriber = broker.subscriber(*topic_names, group_id=f"placewire-{service}", parser=_cloud_event)
    subscribe(subscriber, wake_for_record)
    subscriber(probe, filter=_is_probe)
    subscriber(other_events)


async def _cloud_event(
    record: "ConsumerRecord[bytes, bytes]",
    parse: "Callable[[ConsumerRecord[bytes, bytes]], Awaitable[StreamMessage[Any]]]",
) -> "StreamMessage[Any]":
    """Parse a CloudEvent in binary mode (Kafka protocol binding 1.0.2, section 3.2). A probe is no CloudEvent."""
    message = await parse(record)
    if record.topic != topics.PROBE.name:
        if "ce_type" not in message.headers:
            raise KeyError("ce_type")
        message.message_id = message.headers["ce_id"]
        # A relay without tracing sends no ``traceparent`` header.
        if (traceparent := message.headers.get("ce_traceparent")) is not None:
            message.headers.setdefault("traceparent", traceparent)
    return message


async def _is_probe(message: "StreamMessage[Any]") -> bool:
    return bool(message.raw_message.topic == topics.PROBE.name)


class UnreadableRecords:
    """FastStream middleware that counts, logs and skips records that are not events of Placewire.

    No work is lost: a job is in the database before its record is in Kafka, and the worker polls.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, msg: Any, /, *, context: "ContextRepo") -> "BaseMiddleware[Any, Any]":
        return _Reading(self._service, msg, context=context)


class _Reading(BaseMiddleware[Any, Any]):
    def __init__(self, service: Service, msg: Any, /, *, context: "ContextRepo") -> None:
        super().__init__(msg, context=context)
        self._service = service

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: "StreamMessage[Any]") -> Any:
        try:
            return await call_next(msg)
        except Exception as error:  # noqa: BLE001 - handlers only wake the worker, so the error is in the record
            self._report(error)

    async def after_processed(
        self, exc_type: type[BaseException] | None = None, exc_val: BaseException | None = None, exc_tb: Any = None
    ) -> bool:
        """Report a record that could not even be parsed."""
        if not isinstance(exc_val, Exception):
            return False
        self._report(exc_val)
        return True

    def _report(self, error: Exception) -> None:
        record = self.msg
        metrics.UNREADABLE.labels(self._service, record.topic).inc()
        # Without the error's text, which may quote the record.
        log.error(
            "record.unreadable",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=type(error).__name__,
        )
