"""Erase the personal data of a person, for the API and the command line. The caller owns the transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chassis.errors import NotFound
from chassis.eventstore.event_store import Cause, NewId
from chassis.postgres.database import Connection
from contracts.users import Role
from services.api.users import erasure_sql, handlers, sql
from services.api.users.decider import ErasePerson

COMMAND_LINE = 0

NO_STUDENT = "Student not found"
KINDS = ("versions", "kept_answers", "passwords", "password_links", "read_marks", "export_files")
MESSAGES = {
    (False, False): "The personal data was erased, and the account is closed.",
    (False, True): "The personal data was erased already. Nothing was done.",
    (True, False): "Nothing was done: this is what would be erased.",
    (True, True): "The personal data was erased already.",
}


@dataclass(frozen=True, slots=True)
class Erasure:
    """The result of an erasure. ``erased_at``: ``None`` if the person is not erased.

    ``counts``: how many rows and files of each kind the erasure deleted, or would delete.
    """

    person_id: int
    dry_run: bool
    already_erased: bool
    erased_at: datetime | None
    counts: dict[str, int]

    @property
    def message(self) -> str:
        return MESSAGES[self.dry_run, self.already_erased]


async def erase(
    connection: Connection, person_id: int, cause: Cause, new_id: NewId, *, role: Role | None = None
) -> Erasure:
    """Erase a person's data for good. ``role``: a person with another role counts as unknown.

    Raises ``NotFound``, and ``RuleViolation`` for the caller's own account and for the last active head.
    """
    row = await _locked(connection, person_id, role)
    counts = await _counts(connection, person_id)
    command = ErasePerson(by=cause.actor_id or COMMAND_LINE)
    erased = await handlers.erase(connection, person_id, command, cause, new_id)
    if erased:
        row = await _locked(connection, person_id, role)
    return Erasure(person_id, dry_run=False, already_erased=not erased, erased_at=row["erased_at"], counts=counts)


async def rehearse(connection: Connection, person_id: int, by: int, *, role: Role | None = None) -> Erasure:
    """Return what ``erase`` would delete now, and raise what it would raise. Locks the account and writes nothing."""
    row = await _locked(connection, person_id, role)
    await handlers.check_erasure(connection, person_id, ErasePerson(by=by))
    counts = await _counts(connection, person_id)
    erased_at = row["erased_at"]
    return Erasure(person_id, dry_run=True, already_erased=erased_at is not None, erased_at=erased_at, counts=counts)


async def _locked(connection: Connection, person_id: int, role: Role | None) -> Any:
    # Every command on accounts takes the lock of the heads before the lock of an account.
    await sql.lock_heads(connection)
    row = await sql.locked(connection, person_id)
    if row is None or role not in (None, Role(row["role"])):
        raise NotFound(handlers.NO_USER if role is None else NO_STUDENT)
    return row


async def _counts(connection: Connection, person_id: int) -> dict[str, int]:
    row = await erasure_sql.counts(connection, person_id)
    return {kind: row[kind] for kind in KINDS}
