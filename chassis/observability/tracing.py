"""Traces: from a request through outbox and Kafka to the statements of the requested job.

Tracing is off until ``start`` gets a collector's address. While it is off, the SDK and the exporter are not imported,
and no connection, request or record is wrapped. The functions of this module then return an empty context manager.

An event stores the ``traceparent`` (W3C Trace Context) of its cause in its metadata. Kafka carries it as
``ce_traceparent``, the CloudEvents extension for distributed tracing. The Kafka header ``traceparent`` names the
relay's span, for this one hop.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

from chassis.postgres.watched_connection import WatchedConnection
from chassis.settings import ServerSettings

if TYPE_CHECKING:
    from asyncpg import Record
    from fastapi.telemetry import TelemetryConfig
    from faststream.types import BrokerMiddleware

    from chassis.observability.spans import Spans

Kind = Literal["internal", "client", "consumer"]
Attributes = Mapping[str, str | int]

# Ids of zeros are invalid. A traceparent with more fields, as a later version may have, is refused.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_NOTHING = nullcontext()
_spans: "Spans | None" = None


class Sending(Protocol):
    """The spans of rows that are being sent to Kafka, by the row's id."""

    def headers(self, row_id: int) -> list[tuple[str, bytes]]:
        """Return additional headers for the row."""

    def refused(self, row_id: int, error: BaseException) -> None:
        """Record that Kafka did not receive the row."""


class _NotTraced:
    def headers(self, _row_id: int) -> list[tuple[str, bytes]]:
        return []

    def refused(self, _row_id: int, _error: BaseException) -> None:
        return None


_SENDING: AbstractContextManager[Sending] = nullcontext(_NotTraced())


def start(service: str, settings: ServerSettings) -> None:
    """Start tracing, if the settings name a collector. Call it before connections and apps are created."""
    global _spans  # noqa: PLW0603 - one process, one collector
    if settings.otel_exporter_otlp_endpoint and _spans is None:
        from chassis.observability.spans import Spans

        _spans = Spans(service, settings.otel_exporter_otlp_endpoint)


def stop() -> None:
    """Send the remaining spans, for at most a few seconds."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        spans.close()


def fastapi_options() -> "TelemetryConfig":
    """Return the argument of ``FastAPI(telemetry=…)``: server spans named by route, without its metrics and logs."""
    off: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    return off if _spans is None else {**off, **_spans.fastapi_options()}


def connection_options() -> dict[str, Any]:
    """Return arguments of ``asyncpg.connect``: watched connections whose statements become spans."""
    return {"connection_class": WatchedConnection if _spans is None else _spans.connection_class}


def traceparent(fallback: str | None = None) -> str | None:
    """Return the traceparent of the open span. Without an open span, return ``fallback`` if it is well-formed."""
    if _spans is not None and (current := _spans.current()) is not None:
        return current
    return fallback if fallback is not None and TRACEPARENT.fullmatch(fallback) else None


def span(
    name: str, kind: Kind = "internal", *, parent: str | None, attributes: Attributes
) -> AbstractContextManager[object]:
    """Open a span around the block, in the trace of ``parent`` or in a new one. Errors are recorded by class only."""
    return _NOTHING if _spans is None else _spans.span(name, kind, parent=parent, attributes=attributes)


def failed(error: BaseException) -> None:
    """Mark the open span as failed, for an error that the block handles itself."""
    if _spans is not None:
        _spans.failed(error)


def sending(rows: "Sequence[Record]") -> AbstractContextManager[Sending]:
    """Open spans around the sending of outbox rows, each in the trace of its event."""
    return _SENDING if _spans is None else _spans.sending(rows)


def broker_middlewares() -> "list[BrokerMiddleware[Any, Any]]":
    """Return the FastStream middlewares that trace consumed records; none while tracing is off."""
    return [] if _spans is None else [_spans.broker_middlewares()]
