"""Describe errors without personal data, for logs, traces and tables.

The text of an error often quotes values: ``Key (email)=(…) already exists``, ``invalid literal for int(): '…'``, the
input of a failed validation. So a description has the class of the error. It has the text only if that quotes no value.
"""

import traceback
from collections.abc import Iterator

import asyncpg
from pydantic import ValidationError

from chassis.errors import DomainError

# The texts of these classes name types, attributes and modules.
WITHOUT_VALUES = (TypeError, AttributeError, NameError, ImportError, NotImplementedError)
# The errors of these packages have fixed texts and server addresses. Only ``DomainError`` quotes the request.
PACKAGES = ("chassis", "services", "contracts", "cli", "migrations", "aiokafka")
CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"


def described(error: BaseException) -> str:
    """Return the error's class and the facts about it that contain no values."""
    name = type(error).__name__
    facts = _facts(error)
    return f"{name}: {facts}" if facts else name


def traceback_of(error: BaseException) -> str:
    """Return the traceback of the error and its causes, with ``described`` in place of each error's text."""
    return "".join(_sections(error, set())).rstrip("\n")


def _facts(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        names = {kind: getattr(error, f"{kind}_name", None) for kind in ("constraint", "table", "column")}
        return ", ".join([f"SQLSTATE {error.sqlstate}", *(f"{kind} {name}" for kind, name in names.items() if name)])
    if isinstance(error, ValidationError):
        faults = error.errors(include_input=False)
        return f"{error.title}: {', '.join('.'.join(map(str, fault['loc'])) + ' ' + fault['type'] for fault in faults)}"
    if isinstance(error, OSError):
        return error.strerror or ""
    fixed = type(error).__module__.partition(".")[0] in PACKAGES and not isinstance(error, DomainError)
    return str(error) if fixed or isinstance(error, WITHOUT_VALUES) else ""


def _sections(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    if error.__cause__ is not None and id(error.__cause__) not in seen:
        yield from _sections(error.__cause__, seen)
        yield CAUSED
    elif error.__context__ is not None and not error.__suppress_context__ and id(error.__context__) not in seen:
        yield from _sections(error.__context__, seen)
        yield DURING
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    yield f"{described(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions, start=1):
            yield f"\nError {number} of the group:\n\n"
            yield from _sections(inner, seen)
