"""Log output: noisy libraries are limited, and personal data is never logged."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
import structlog
from pydantic import BaseModel

from chassis.errors import RuleViolation, Unavailable
from chassis.observability import logs

# No other line of this file may hold this text, because tracebacks quote the source.
EMAIL = "planted@college.edu"


def test_only_warnings_of_a_noisy_library_are_limited(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    former_setup = root.handlers, root.level
    try:
        logs.set_up_logs("test", format_="text", level="info")
        for number in range(50):
            # Libraries log through loggers below their own name.
            logging.getLogger("aiokafka.conn").warning("noise %s", number)
            logging.getLogger("chassis.messaging.relay").warning("ours %s", number)
    finally:
        root.handlers, root.level = former_setup
    written = capfd.readouterr().err
    assert written.count("noise") == 5
    assert written.count("ours") == 50


class Planted(BaseModel):
    age: int


def _unique_violation() -> None:
    error = asyncpg.UniqueViolationError('duplicate key value violates unique constraint "users_identity_unique"')
    error.constraint_name, error.detail = "users_identity_unique", f"Key (email)=({EMAIL}) already exists."
    raise error


def _chained() -> None:
    try:
        _unique_violation()
    except asyncpg.PostgresError as error:
        raise KeyError(EMAIL) from error


def _grouped() -> None:
    raise ExceptionGroup(EMAIL, [ValueError(EMAIL), Unavailable("no database")])


@pytest.mark.parametrize(
    ("fail", "written"),
    [
        (_unique_violation, "UniqueViolationError: SQLSTATE 23505, constraint users_identity_unique"),
        (_chained, "KeyError"),
        (_grouped, "Unavailable: no database"),
        (lambda: int(EMAIL), "ValueError"),
        (lambda: Planted.model_validate({"age": EMAIL}), "ValidationError: Planted: age int_parsing"),
        (lambda: Path("/", EMAIL).read_text(), "FileNotFoundError: No such file or directory"),
        (lambda: None.planted, "AttributeError: 'NoneType' object has no attribute"),  # type: ignore[attr-defined]
        (lambda: _refuse(RuleViolation), "RuleViolation"),
    ],
)
@pytest.mark.parametrize("format_", ["text", "json"])
def test_exception_messages_with_values_are_not_logged(
    capfd: pytest.CaptureFixture[str], fail: Callable[[], object], written: str, format_: Literal["text", "json"]
) -> None:
    """Our code, a library and asyncio (for a task that nobody awaited) log the exception."""
    root = logging.getLogger()
    former_setup = root.handlers, root.level
    try:
        logs.set_up_logs("test", format_=format_, level="debug")
        try:
            fail()
        except Exception as error:
            structlog.get_logger().error("ours", exc_info=error)
            logging.getLogger("library").exception("theirs")
            loop = asyncio.new_event_loop()
            loop.call_exception_handler({"message": "never retrieved", "exception": error, "task": repr(error)})
            loop.close()
    finally:
        root.handlers, root.level = former_setup
    output = capfd.readouterr().err
    if format_ == "json":
        output = "\n".join(json.loads(line)["exception"] + "\n" for line in output.splitlines() if "exception" in line)
    assert len([line for line in output.splitlines() if line.startswith(written)]) == 3
    assert EMAIL not in output
    assert "Traceback" in output


def _refuse(refusal: type[Exception]) -> None:
    raise refusal(f"There is a user with the e-mail address {EMAIL} already.")
