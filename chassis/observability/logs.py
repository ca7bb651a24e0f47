"""Structured logs on stderr, without secrets and without the texts of exceptions."""

import logging
import sys
from typing import Literal

import structlog

from chassis.observability.error_text import traceback_of

# Fields whose values must never be in a log line.
SECRET_FIELDS = frozenset(
    {"password", "token", "authorization", "secret", "password_hash", "cgpa", "marks", "record", "email", "roll_number"}
)


def set_up_logs(service: str, *, format_: Literal["json", "text"], level: str) -> None:
    """Write logs of our code and of libraries to stderr, as structured lines with ``service``."""
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
    # While the broker is away, aiokafka writes tens of lines a second, and thousands in its worst loop (measured). The
    # filters are on the handler, because a filter on a logger does not see the records of child loggers.
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
    exc_info = line.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info if isinstance(exc_info, BaseException) else None
    if exc_info is True:
        error = sys.exc_info()[1]
    if error is not None:
        line["exception"] = traceback_of(error)
    return line


def _first_line_of_asyncio(record: logging.LogRecord) -> bool:
    """Cut off the lines that asyncio adds to a message: tasks and callbacks with the texts of their errors."""
    if record.name == "asyncio":
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


class AtMost(logging.Filter):
    """Passes at most ``lines`` records of ``logger`` and its child loggers in ``per_s`` seconds. Passes all others."""

    def __init__(self, logger: str, *, lines: int, per_s: float) -> None:
        super().__init__(logger)
        self._lines = lines
        self._per_s = per_s
        self._window = 0.0
        self._seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return True  # a record of another logger
        if record.created - self._window >= self._per_s:
            self._window, self._seen = record.created, 0
        self._seen += 1
        return self._seen <= self._lines
