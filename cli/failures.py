"""Failures that a user can do something about: one line and an exit code, no traceback."""

from typing import Final

NO: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130


class Failure(Exception):
    """Told in one line; ``code`` is the command's exit code."""

    def __init__(self, message: str, code: int = NO) -> None:
        super().__init__(message)
        self.code = code


def told(error: Exception) -> Failure | None:
    """``error`` as a failure, where its class is one that is to be expected; ``None`` for a bug."""
    # Imported here: every command pays for what is above, only a failing one for this.
    import asyncpg
    import httpx

    from chassis.errors import Conflict, Contended, Refused, Unavailable

    cause = error.__cause__ or error
    match error:
        case Refused() | Conflict():
            return Failure(str(error), NO)
        case Unavailable() | Contended():
            return Failure(f"{error} ({one_line(cause)})", UNREACHABLE)
        case httpx.TransportError():
            return Failure(f"{_address(error)} cannot be reached: {one_line(error)}", UNREACHABLE)
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            return Failure(f"the database refuses: {one_line(error)}", UNREACHABLE)
        case asyncpg.UndefinedTableError() | asyncpg.InvalidSchemaNameError() | asyncpg.UndefinedFunctionError():
            return Failure(f"{one_line(error)}: has `placewire migrate` been run?", WRONG_USE)
        case asyncpg.InsufficientPrivilegeError():
            return Failure(f"this database role may not do that: {one_line(error)}", WRONG_USE)
        case asyncpg.CannotConnectNowError() | ConnectionError() | TimeoutError():
            return Failure(f"the database cannot be reached: {one_line(error)}", UNREACHABLE)
        case OSError():
            return Failure(one_line(error), UNREACHABLE)
        case _:
            return None


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _address(error: Exception) -> str:
    try:
        url = error.request.url  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return "the API"
    return f"{url.scheme}://{url.netloc.decode()}"
