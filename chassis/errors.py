"""The errors of all packages. The class of an error decides the reaction; no code inspects messages."""


class DomainError(Exception):
    """A request or job that would fail again if it were repeated. The text is shown to users."""


class RuleViolation(DomainError):
    """A rule forbids the command in the current state: HTTP 409, never retried."""


class NotFound(DomainError):
    """The requested object does not exist, or this caller may not see it: HTTP 404."""


class Invalid(DomainError):
    """The request is not valid: HTTP 422 (or ``status``). ``errors``: one entry for each fault."""

    def __init__(self, message: str, *, status: int = 422, errors: list[dict[str, object]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors or []


class PageGone(DomainError):
    """The row that a page starts after was deleted: HTTP 410. The caller starts again from the first page."""

    def __init__(self) -> None:
        super().__init__("The entry that this page starts after has been deleted. Start again from the first page.")


class Forbidden(DomainError):
    """This caller may not do this: HTTP 403."""


class Unauthenticated(DomainError):
    """The caller is not authenticated: HTTP 401."""


class Throttled(DomainError):
    """Too many attempts: HTTP 429 with Retry-After ``retry_after_s``."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(Exception):
    """The stream has changed since the caller read it: HTTP 409. The caller must read it again."""


class Contended(Exception):
    """A conflict with another transaction (serialization, deadlock, lock timeout) caused a rollback. May be retried."""


class Outdated(Exception):
    """The staged part of a job is out of date. The job stages it again; no attempt is spent."""


class Unavailable(Exception):
    """Postgres does not answer: HTTP 503 with Retry-After; a job waits without spending an attempt."""


class Overloaded(Exception):
    """Too many requests at this moment: HTTP 503 with Retry-After. The text is shown to users."""


class StorageFailed(Exception):
    """The storage does not answer or refuses: HTTP 503; a job is retried a few times. The text is shown to users."""


class StorageFull(StorageFailed):
    """No space is left for a file: HTTP 507. The text is shown to users."""


class OutcomeUnknown(Unavailable):
    """The connection was lost during a transaction, which may have been committed."""


class ReadOnly(Unavailable):
    """Postgres accepts no changes: a standby, or a log that `placewire close-log` has closed."""


class LogNotAdopted(Unavailable):
    """The log has moved to this server, and `placewire adopt-log` has not been run. Nothing may be read or written."""


class Exhausted(Unavailable):
    """Postgres ran out of memory or disk, or reached a limit. This transaction may be the cause."""


class Fenced(Exception):
    """Another process holds this job or subscription now. The transaction is rolled back."""
