"""The FastStream subscriber of a service: CloudEvents in, wake-ups of its worker out.

Each service lists the events it acts on in its module ``subscribers``, one typed handler for each.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import structlog
from faststream import BaseMiddleware, Context
from faststream.kafka import KafkaBroker

from chassis import telemetry
from contracts import topics
from contracts.jobs import Channel, Service
from contracts.message import Event

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord
    from faststream import ContextRepo, StreamMessage

WakeWorker = Callable[[UUID, Channel], None]
# Parameters of a handler. The job of an event has the event's id.
JobId = Annotated[UUID, Context("message.message_id", cast=True)]
Wake = Annotated[WakeWorker, Context("wake")]
# Adds the handlers of a service to its subscriber.
Subscribe = Callable[[Any], None]

log = structlog.get_logger()


def of(event_class: type[Event]) -> "Callable[[StreamMessage[Any]], bool]":
    """Return a FastStream filter that passes the messages of ``event_class``."""
    return lambda message: message.headers.get("ce_type") == event_class.TYPE


def subscribe_service(broker: KafkaBroker, service: Service, heard: list[str], subscribe: Subscribe) -> None:
    """Add the subscriber of ``service`` to ``broker``: the handlers that ``subscribe`` adds, and that of the probe.

    It acknowledges a record before it handles it, because a wake-up may be lost.
    """
    subscriber = broker.subscriber(*heard, group_id=f"placewire-{service}", parser=_cloud_event)
    subscribe(subscriber)
    subscriber(_probe, filter=_is_probe)
    subscriber(_other_events)


async def _cloud_event(
    record: "ConsumerRecord[bytes, bytes]",
    parse: "Callable[[ConsumerRecord[bytes, bytes]], Awaitable[StreamMessage[Any]]]",
) -> "StreamMessage[Any]":
    """Parse a CloudEvent in binary mode (Kafka protocol binding 1.0.2, section 3.2). A probe is not one."""
    message = await parse(record)
    if record.topic != topics.CANARY.name:
        if "ce_type" not in message.headers:
            raise KeyError("ce_type")
        message.message_id = message.headers["ce_id"]
        # The header of this hop is absent where the relay does not trace.
        if (traceparent := message.headers.get("ce_traceparent")) is not None:
            message.headers.setdefault("traceparent", traceparent)
    return message


def _is_probe(message: "StreamMessage[Any]") -> bool:
    return bool(message.raw_message.topic == topics.CANARY.name)


async def _probe(sent_at: datetime, probe_seen: Annotated[Callable[[datetime], None], Context()]) -> None:
    """Record that Kafka delivers to this service."""
    probe_seen(sent_at)


async def _other_events() -> None:
    """Ignore an event that this service does not act on."""


class UnreadableRecords:
    """FastStream middleware that counts and logs records that are no event of ours. Each is passed over.

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
        except Exception as error:  # noqa: BLE001 - a handler only wakes: what fails is reading the record
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
        telemetry.UNREADABLE.labels(self._service, record.topic).inc()
        # Never the error's text: it may quote the record.
        log.error(
            "record.unreadable",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=type(error).__name__,
        )
