"""Failures that a user can fix. They are printed as one line with an exit code, without a traceback."""

import sys
from typing import Final

# Exit codes of the command.
NO: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130


class Failure(Exception):
    """An expected failure, printed as one line. ``code`` is the exit code of the command."""

    def __init__(self, message: str, code: int = NO) -> None:
        super().__init__(message)
        self.code = code


def as_failure(error: Exception) -> Failure | None:
    """Return ``error`` as a ``Failure`` when its class is expected, ``None`` when it is a bug."""
    # Imported here, because only a failing command needs it and imports take time.
    import httpx

    from chassis.errors import Conflict, Contended, DomainError, LogNotAdopted, Unavailable

    match error:
        case DomainError() | Conflict() | LogNotAdopted():
            return Failure(str(error), NO)
        case Unavailable() | Contended():
            return Failure(f"{error} ({one_line(error.__cause__ or error)})", UNREACHABLE)
        case httpx.TransportError():
            return Failure(f"{_address(error)} cannot be reached: {one_line(error)}", UNREACHABLE)
        case OSError():  # among them ConnectionError and TimeoutError
            return Failure(one_line(error), UNREACHABLE)
        case _:
            return _database_failure(error) or _stack_failure(error)


def _database_failure(error: Exception) -> Failure | None:
    import asyncpg

    message = one_line(error)
    match error:
        case asyncpg.UndefinedTableError() | asyncpg.InvalidSchemaNameError() | asyncpg.UndefinedFunctionError():
            return Failure(f"{message}: has `placewire migrate` been run?", WRONG_USE)
        case asyncpg.InsufficientPrivilegeError():
            return Failure(f"this database role may not do that: {message}", WRONG_USE)
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            return Failure(f"the database refuses: {message}", UNREACHABLE)
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            return Failure(
                f"another session has locked the tables for too long, try again later: {message}", UNREACHABLE
            )
        case asyncpg.CannotConnectNowError() | asyncpg.TooManyConnectionsError():
            return Failure(f"the database cannot be reached: {message}", UNREACHABLE)
        case _:
            return None


def _stack_failure(error: Exception) -> Failure | None:
    if "devstack" not in sys.modules:
        return None
    from devstack.failures import StackFailure

    return Failure(str(error), UNREACHABLE) if isinstance(error, StackFailure) else None


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _address(error: Exception) -> str:
    try:
        url = error.request.url  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return "the API"
    return f"{url.scheme}://{url.netloc.decode()}"
