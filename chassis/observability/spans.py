"""Spans with OpenTelemetry's SDK. Imported only when tracing is on (``tracing``).

FastAPI's instrumentation makes the server spans, FastStream's makes those of consumed records. OpenTelemetry's
instrumentation for asyncpg does not fit. It stores the text of errors, which quotes values (``Key (email)=(…) already
exists``), and makes a trace of each poll of relay and breaker. Spans here hold no error text, parameter or URL.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.postgres.traced_connection import connection_class

if TYPE_CHECKING:
    from asyncpg import Record
    from faststream import BaseMiddleware, ContextRepo
    from faststream.types import BrokerMiddleware

    from chassis.observability.tracing import Attributes, Kind

KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "consumer": SpanKind.CONSUMER}
# Requested every few seconds by probes and Prometheus.
UNWATCHED = frozenset({"/livez", "/readyz", "/metrics"})
# The limit keeps an unreachable collector from delaying the end of a process.
LAST_EXPORT_S = 3.0

_w3c = TraceContextTextMapPropagator()


class Spans:
    """The process's spans. A background thread sends them to ``endpoint`` in batches.

    The standard variables of the SDK apply too: sampler, headers, time-outs, resource attributes.
    """

    def __init__(self, service: str, endpoint: str, *, processor: SpanProcessor | None = None) -> None:
        """``processor``: receives the spans instead of the collector."""
        resource = Resource.create({"service.name": f"placewire-{service}"})
        # Libraries record errors as events of spans, with text and stack. So spans hold no events.
        self._provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_events=0), shutdown_on_exit=False)
        self._provider.add_span_processor(_WithoutAddress())
        exporter = processor or BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))
        self._provider.add_span_processor(exporter)
        self._tracer = self._provider.get_tracer("placewire")
        self.connection_class = connection_class(self._tracer)

    def close(self) -> None:
        """Send the remaining spans; waits ``LAST_EXPORT_S`` at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(LAST_EXPORT_S)

    def fastapi_options(self) -> TelemetryConfig:
        return {
            "tracing": True,
            "tracer_provider": self._provider,
            "operation_spans": False,
            "exclude": lambda scope: scope["path"] in UNWATCHED,
        }

    def current(self) -> str | None:
        carrier: dict[str, str] = {}
        _w3c.inject(carrier)
        return carrier.get("traceparent")

    @contextmanager
    def span(self, name: str, kind: "Kind", *, parent: str | None, attributes: "Attributes") -> Iterator[None]:
        opened = self._tracer.start_span(name, _context(parent), KINDS[kind], attributes)
        with _ended(opened), _current(opened):
            yield

    def failed(self, error: BaseException) -> None:
        trace.get_current_span().set_status(StatusCode.ERROR, type(error).__name__)

    @contextmanager
    def sending(self, rows: "Sequence[Record]") -> Iterator["_Sending"]:
        opened = {
            row["id"]: self._tracer.start_span(
                f"send {row['topic']}",
                _context(parent),
                SpanKind.PRODUCER,
                {
                    "messaging.system": "kafka",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": row["topic"],
                    "messaging.kafka.message.key": row["key"],
                    "messaging.message.id": str(row["event_id"]),
                },
            )
            for row in rows
            if row["metadata"] and (parent := row["metadata"].get("traceparent"))
        }
        with _ended(*opened.values()):
            yield _Sending(opened)

    def broker_middlewares(self) -> "BrokerMiddleware[Any, Any]":
        """Return FastStream's middleware, limited to records with a trace. It would begin a trace for each probe."""
        from faststream import BaseMiddleware
        from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware
        from opentelemetry.metrics import NoOpMeterProvider

        traced = KafkaTelemetryMiddleware(tracer_provider=self._provider, meter_provider=NoOpMeterProvider())

        def middleware(msg: Any, /, *, context: "ContextRepo") -> "BaseMiddleware[Any, Any]":
            belongs = any(name == "ce_traceparent" for name, _ in msg.headers)
            return traced(msg, context=context) if belongs else BaseMiddleware(msg, context=context)

        return middleware


class _Sending:
    def __init__(self, opened: dict[int, trace.Span]) -> None:
        self._opened = opened

    def headers(self, row_id: int) -> list[tuple[str, bytes]]:
        if (opened := self._opened.get(row_id)) is None:
            return []
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, trace.set_span_in_context(opened, Context()))
        return [(name, value.encode()) for name, value in carrier.items()]

    def refused(self, row_id: int, error: BaseException) -> None:
        if (opened := self._opened.get(row_id)) is not None:
            opened.set_status(StatusCode.ERROR, type(error).__name__)


class _WithoutAddress(SpanProcessor):
    """Removes path and query, which may hold a signature, a name or an e-mail address. ``http.route`` stays."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for name in ("url.path", "url.query"):
            if span.attributes and name in span.attributes:
                span.set_attribute(name, "REDACTED")


def _context(parent: str | None) -> Context:
    """Return the context of ``parent``. The context of the task is not used: it may belong to another trace."""
    return _w3c.extract({"traceparent": parent} if parent else {}, Context())


def _current(opened: trace.Span) -> AbstractContextManager[object]:
    return trace.use_span(opened, record_exception=False, set_status_on_exception=False)


@contextmanager
def _ended(*opened: trace.Span) -> Iterator[None]:
    """End the spans after the block. An exception is recorded by its class name, never by its text."""
    try:
        yield
    except BaseException as error:
        for span in opened:
            span.set_status(StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        for span in opened:
            span.end()
