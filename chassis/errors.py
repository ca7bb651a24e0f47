"""The ways work can fail. The class is the reaction; nothing reads messages."""


class DomainError(Exception):
    """A request or job that cannot be carried out, however often it is tried. The text is for people."""


class RuleViolation(DomainError):
    """The rules forbid it at this moment: HTTP 409, never retried."""


class NotFound(DomainError):
    """No such thing, or not for this caller to see: HTTP 404."""


class Invalid(DomainError):
    """The request is not valid: HTTP 422 (or ``status``). ``errors`` lists several faults."""

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
    """Too many tries: HTTP 429 with Retry-After ``retry_after_s``."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(Exception):
    """The stream has changed since it was read: HTTP 409. The caller must read it again first."""


class Contended(Exception):
    """The database undid the transaction in favour of another (serialization, deadlock, lock timeout). Try again."""


class Outdated(Exception):
    """What a long job has prepared is out of date. It is prepared again; no attempt is spent."""


class Unavailable(Exception):
    """Postgres does not answer: HTTP 503 with Retry-After; a job waits without an attempt spent."""


class Overloaded(Exception):
    """Too many requests at this moment: HTTP 503 with Retry-After. The text is shown to people."""


class StorageFailed(Exception):
    """Where files are kept does not answer, or refuses: HTTP 503; a job tries again a few times. For people."""


class StorageFull(StorageFailed):
    """No space is left for a file: HTTP 507. The text is shown to people."""


class OutcomeUnknown(Unavailable):
    """The connection was lost on the way: what was asked for may have been committed, or not."""


class ReadOnly(Unavailable):
    """Postgres accepts no changes: a standby, or a log that `placewire close-log` has closed."""


class LogNotAdopted(Unavailable):
    """The log has moved to this server, and `placewire adopt-log` has not been run. Nothing may be read or written."""


class Exhausted(Unavailable):
    """Postgres ran out of memory, disk or a limit midway: everybody's trouble, or the doing of what was asked for."""


class Fenced(Exception):
    """Another process runs this job, or reads this subscription, now: what was done for it is rolled back."""
