"""Traces: one from a request through outbox and Kafka to the statements of the job that it asked for.

Off until ``start`` is given a collector's address. Until then nothing of the SDK or the exporter is imported (FastAPI
itself imports OpenTelemetry's bare interface), no connection, request or record is wrapped, and what is called here
gives back the same empty block every time.

An event keeps the ``traceparent`` (W3C Trace Context) of what caused it, in its metadata and as ``ce_traceparent``, as
the CloudEvents extension for distributed tracing has it. The relay names its own span in the Kafka header
``traceparent``, which belongs to that one hop.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

from chassis.settings import ServerSettings
from chassis.watched_connection import WatchedConnection

if TYPE_CHECKING:
    from asyncpg import Record
    from fastapi.telemetry import TelemetryConfig
    from faststream.types import BrokerMiddleware

    from chassis.spans import Spans

Kind = Literal["internal", "client", "consumer"]
Attributes = Mapping[str, str | int]

# A trace or span of zeros names nothing. What a later version may add behind is not ours to keep.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_NOTHING = nullcontext()
_spans: "Spans | None" = None


class Sending(Protocol):
    """The spans of rows on their way to Kafka, by the row's id."""

    def headers(self, row_id: int) -> list[tuple[str, bytes]]:
        """What to send beside the row's own headers."""

    def refused(self, row_id: int, error: BaseException) -> None:
        """Kafka did not take it."""


class _NotTraced:
    def headers(self, _row_id: int) -> list[tuple[str, bytes]]:
        return []

    def refused(self, _row_id: int, _error: BaseException) -> None:
        return None


_SENDING: AbstractContextManager[Sending] = nullcontext(_NotTraced())


def start(service: str, settings: ServerSettings) -> None:
    """Trace from now on, if the settings name a collector. Before connections and apps are made: they are to know."""
    global _spans  # noqa: PLW0603 - one process, one collector
    if settings.otel_exporter_otlp_endpoint and _spans is None:
        from chassis.spans import Spans

        _spans = Spans(service, settings.otel_exporter_otlp_endpoint)


def stop() -> None:
    """Send what is left, for at most a few seconds."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        spans.close()


def of_requests() -> "TelemetryConfig":
    """What ``FastAPI(telemetry=…)`` is given: server spans named by route, and never its metrics and logs."""
    off: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    return off if _spans is None else {**off, **_spans.of_requests()}


def of_connections() -> dict[str, Any]:
    """What ``asyncpg.connect`` is given besides: connections that are watched, and whose statements are spans."""
    return {"connection_class": WatchedConnection if _spans is None else _spans.connection_class}


def traceparent(given: str | None = None) -> str | None:
    """Of the span that is open now. Without one: ``given``, if it is well-formed."""
    if _spans is not None and (current := _spans.current()) is not None:
        return current
    return given if given is not None and TRACEPARENT.fullmatch(given) else None


def span(
    name: str, kind: Kind = "internal", *, parent: str | None, attributes: Attributes
) -> AbstractContextManager[object]:
    """A span around the block, in the trace of ``parent`` or else one of its own. Errors count by their class alone."""
    return _NOTHING if _spans is None else _spans.span(name, kind, parent=parent, attributes=attributes)


def failed(error: BaseException) -> None:
    """The span that is open now ends in failure, though nothing is raised out of it."""
    if _spans is not None:
        _spans.failed(error)


def sending(rows: "Sequence[Record]") -> AbstractContextManager[Sending]:
    """Spans around the sending of outbox rows, each in the trace of its event."""
    return _SENDING if _spans is None else _spans.sending(rows)


def of_broker() -> "list[BrokerMiddleware[Any, Any]]":
    """Return the FastStream middlewares that trace consumed records; none while tracing is off."""
    return [] if _spans is None else [_spans.of_broker()]
