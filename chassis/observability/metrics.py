"""Every metric in one list, and the set-up of logs."""

import logging
import sys
from typing import Literal

import structlog
from prometheus_client import Counter, Gauge, Histogram

from chassis.observability.error_text import traceback_of

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Histogram(
    "placewire_http_request_duration_seconds",
    "Requests answered, by route template",
    ["method", "route", "status"],
    buckets=LATENCY_S,
)
HTTP_IN_HAND = Gauge("placewire_http_requests_in_hand", "Requests that this process works on at the moment")
HTTP_ANSWERS = Counter("placewire_http_answers_total", "Requests answered, by the first digit of status", ["class"])
JOB_DURATION = Histogram(
    "placewire_job_duration_seconds",
    "Jobs from queued to ended",
    ["kind", "channel", "outcome"],
    buckets=LATENCY_S,
)
JOBS = Gauge("placewire_jobs", "Jobs that have not ended", ["service", "state"])
JOBS_OLDEST = Gauge("placewire_jobs_oldest_seconds", "How long the oldest has been in its state", ["service", "state"])
VIEW_STALENESS = Gauge("placewire_view_staleness_seconds", "Since the moment that a view shows", ["view"])
VIEW_REFRESH_DURATION = Gauge("placewire_view_refresh_duration_seconds", "Of a view's last refresh", ["view"])
VIEW_ROWS = Gauge("placewire_view_rows", "Rows of a view after its last refresh", ["view"])
OUTBOX_DEPTH = Gauge("placewire_outbox_depth", "Rows waiting for Kafka", ["lane"])
OUTBOX_AGE = Gauge("placewire_outbox_age_seconds", "Age of the oldest row waiting for Kafka", ["lane"])
OUTBOX_SENT = Counter("placewire_outbox_sent_total", "Rows that Kafka took", ["topic"])
OUTBOX_QUARANTINED = Gauge("placewire_outbox_quarantined_keys", "Keys held back because Kafka refused a row for good")
RELAY_LEADER = Gauge("placewire_relay_leader", "1 in the relay that sends, 0 in the one that waits")
CANARY_AGE = Gauge(
    "placewire_canary_age_seconds", "Age of the newest canary that a consumer has seen; +Inf: none", ["service"]
)
BREAKER_OPEN = Gauge("placewire_breaker_open", "1 while the API wakes this service by HTTP", ["service"])
EXPORT_ROWS = Counter("placewire_export_rows_total", "Rows written to files", ["kind", "format"])
EXPORT_BYTES = Counter("placewire_export_bytes_total", "Bytes written to files", ["kind", "format"])
EXPIRED = Counter("placewire_expired_total", "What was deleted because its time was up or nothing needs it", ["what"])
EXPIRY_DURATION = Histogram(
    "placewire_expiry_duration_seconds", "One search for what can be deleted", ["what"], buckets=LATENCY_S
)
EXPIRY_FAILURES = Counter("placewire_expiry_failures_total", "What could not be deleted, and is tried again", ["what"])
DEAD_LETTERS = Counter("placewire_dead_letters_total", "Jobs given up", ["kind"])
DEAD_LETTERS_OPEN = Gauge("placewire_dead_letters_open", "Jobs given up that wait for a decision", ["service"])
CONSUMER_PAUSED = Gauge(
    "placewire_consumer_paused", "1 while a worker is paused after too many failed jobs in a row", ["service"]
)
UNREADABLE = Counter(
    "placewire_unreadable_records_total", "Records of Kafka that are no event of ours", ["service", "topic"]
)
SUBSCRIPTION_LAG = Gauge(
    "placewire_subscription_lag_seconds", "Age of the oldest event that is not handled yet; 0: none", ["subscription"]
)
SUBSCRIPTION_BEHIND = Gauge(
    "placewire_subscription_events_behind", "Events that are not handled yet, counted up to 10,000", ["subscription"]
)
SUBSCRIPTION_FAILED = Gauge(
    "placewire_subscription_failed", "1 while it has stopped before an event that cannot be handled", ["subscription"]
)
POOL_CONNECTIONS = Gauge("placewire_database_connections", "Connections of this process's pool", ["state"])
POOL_SIZE = Gauge("placewire_database_pool_size", "Connections that this process's pool may hold")
LOGINS = Counter("placewire_logins_total", "Sign-ins tried", ["outcome"])
# For the placement cell, from the materialized views. They name companies and branches; students are only counted.
DRIVES = Gauge("placewire_drives", "Drives", ["status"])
FUNNEL = Gauge("placewire_funnel_students", "Students who came as far as the stage, summed over all drives", ["stage"])
DRIVE_FUNNEL = Gauge(
    "placewire_drive_students", "FUNNEL of the newest drives not finished", ["drive", "company", "title", "stage"]
)
BRANCH_STUDENTS = Gauge("placewire_branch_students", "Students who came as far, by branch", ["branch", "stage"])

# Fields whose values never appear in a log line.
SECRET_FIELDS = frozenset(
    {"password", "token", "authorization", "secret", "password_hash", "cgpa", "marks", "record", "email", "roll_number"}
)


def set_up_logs(service: str, *, format_: Literal["json", "text"], level: str) -> None:
    """Write structured log lines to stderr, also those of libraries, each with ``service``."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _blank_secrets,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if format_ == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _traceback,
                renderer,
            ],
        )
    )
    handler.addFilter(_first_line_of_asyncio)
    # While the broker is away aiokafka writes tens of lines a second, thousands in its worst loop (measured). Not on
    # their loggers: a logger's filter does not see what the loggers below it write.
    for noisy in ("aiokafka", "faststream", "opentelemetry"):
        handler.addFilter(AtMost(noisy, lines=5, per_s=10.0))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.contextvars.bind_contextvars(service=service)
    for quiet in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def _blank_secrets(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name in line.keys() & SECRET_FIELDS:
        line[name] = "***"
    return line


def _traceback(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Write exceptions without their texts, which quote values."""
    given = line.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else None
    if given is True:
        error = sys.exc_info()[1]
    if error is not None:
        line["exception"] = traceback_of(error)
    return line


def _first_line_of_asyncio(record: logging.LogRecord) -> bool:
    """Cut off what asyncio's own handler adds to its message: tasks and callbacks, with their errors' texts."""
    if record.name == "asyncio":
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


class AtMost(logging.Filter):
    """Lets ``lines`` records of the logger ``of``, and those below it, through in any ``per_s`` seconds."""

    def __init__(self, of: str, *, lines: int, per_s: float) -> None:
        super().__init__(of)
        self._lines = lines
        self._per_s = per_s
        self._window = 0.0
        self._seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return True  # of another logger
        if record.created - self._window >= self._per_s:
            self._window, self._seen = record.created, 0
        self._seen += 1
        return self._seen <= self._lines
