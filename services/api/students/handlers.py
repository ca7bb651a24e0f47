"""One function per command on a student. The caller owns the transaction."""

from dataclasses import replace
from typing import Any

from chassis.errors import RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, NewId
from chassis.postgres.database import Connection
from contracts.students import StudentEnrolled, StudentRange, StudentRecordRevised
from services.api.students import reevaluation
from services.api.students.decider import EnrolStudent, ReviseRecord, Student, decide, fold
from services.api.users import handlers as accounts
from services.api.users import sql as users
from services.api.users.decider import ERASED, ReviseUser

# The events of the details have ids from this number. Smaller numbers are for the events of the record.
DETAILS_AFTER = 10


async def enrol(
    connection: Connection, command: EnrolStudent, password_hash: str | None, cause: Cause, new_id: NewId
) -> None:
    """Enrol a student. Raises ``RuleViolation`` when the e-mail address or the roll number is taken."""
    stream = f"student-{command.student_id}"
    events = decide(Student(), command)
    with accounts.unique_identity(command.person):
        appended = await event_store.append(connection, stream, events, cause, expected_version=0, new_id=new_id)
    students = StudentRange(first=command.student_id, last=command.student_id)
    await reevaluation.request_for_new_students(connection, students, replace(cause, causation_id=appended.ids[0]))
    if password_hash is not None:
        await users.put_password(connection, command.student_id, password_hash)


async def revise(
    connection: Connection,
    command: ReviseRecord,
    cause: Cause,
    new_id: NewId,
    *,
    details: dict[str, Any] | None = None,
) -> None:
    """Correct the record, and ``details`` of the account (``users.decider.DETAILS``).

    Raises ``NotFound``, ``RuleViolation`` for an erased student and for a taken roll number or e-mail address, and
    ``Conflict`` when another request changed the account or record first.
    """
    # Lock the account before reading the record, so that no response shows an erased person.
    if await users.lock_erased(connection, command.student_id):
        raise RuleViolation(ERASED)
    stream = f"student-{command.student_id}"
    student = fold(recorded.event for recorded in await event_store.read(connection, stream))
    events = decide(student, command)
    # The same lock order as in an import: account, record, details.
    if events:
        appended = await event_store.append(
            connection, stream, events, cause, expected_version=student.version, new_id=new_id
        )
    if details:
        revised = ReviseUser(by=cause.actor_id or 0, details=details)
        await accounts.revise(connection, command.student_id, revised, None, cause, lambda n: new_id(n + DETAILS_AFTER))
    if not events:
        return
    if student.record is not None and reevaluation.concerns_eligibility(_changed(events)):
        caused = replace(cause, causation_id=appended.ids[-1])
        await reevaluation.request_for_revision(connection, command.student_id, student.record, caused)


def _changed(events: list[StudentEnrolled | StudentRecordRevised]) -> list[str]:
    return [name for event in events if isinstance(event, StudentRecordRevised) for name in event.changed]
