"""Record who looks at students' records, before the response shows them. ``Reading`` lists the recorded operations.

A person who reads their own record is not recorded. An entry has ids and no names. One statement writes it before the
response is sent, and does not wait for the disk. So a crash of the database server can lose the entries of the last
half second. If the entry cannot be written, the response is an error and shows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from chassis.postgres.database import Connection, Database
from chassis.tokens import Principal
from services.api.context import context_of

# A page with at most this many students is probably the result of a search. It is recorded for each student.
FEW = 10

RECORD = """
INSERT INTO access_log (reader_id, reader_role, operation, student_id, correlation_id) VALUES ($1, $2, $3, $4, $5)
"""
# The setting applies only to the transaction of this statement.
RECORD_EACH = """
WITH asynchronous AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO access_log (reader_id, reader_role, operation, student_id, correlation_id)
SELECT $1, $2, $3, shown.student_id, $5 FROM asynchronous, unnest($4::integer[]) AS shown (student_id)
"""


class Reading(StrEnum):
    """The operations that show personal data of students. The values are stored and shown to students."""

    STUDENT_VIEWED = "student.viewed"
    STUDENT_CORRECTED = "student.corrected"
    ACCOUNT_CHANGED = "account.changed"
    DECISION_EXPLAINED = "decision.explained"
    STUDENTS_LISTED = "students.listed"
    STUDENTS_IMPORTED = "students.imported"
    ELIGIBLE_LISTED = "eligible.listed"
    ELIGIBLE_FILTERED = "eligible.filtered"
    ELIGIBLE_LISTED_AS_OF = "eligible.listed-as-of"
    REGISTRATIONS_LISTED = "registrations.listed"
    ATTENDANCE_LISTED = "attendance.listed"
    ATTENDANCE_DOWNLOADED = "attendance.downloaded"
    EXPORT_DOWNLOADED = "export.downloaded"


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Records which students' data one request shows."""

    database: Database
    correlation_id: UUID

    async def of_one(self, caller: Principal, reading: Reading, student_id: int) -> None:
        """Record that ``caller`` is shown the record of one student, unless it is their own."""
        if student_id != caller.user_id:
            await self._record(caller, reading, [student_id])

    async def of_many(self, caller: Principal, reading: Reading) -> None:
        """Record that ``caller`` is shown a list of students, in one entry for the whole list."""
        await self._record(caller, reading, [None])

    async def of_page(self, caller: Principal, reading: Reading, student_ids: Sequence[int]) -> None:
        """Record a page of a list. If it has at most ``FEW`` students, record each student; otherwise, the list."""
        if student_ids:
            await self._record(caller, reading, student_ids if len(student_ids) <= FEW else [None])

    async def in_command(self, transaction: Connection, caller: Principal, reading: Reading, student_id: int) -> None:
        """Record, in the command's transaction, that its response shows the record of one student."""
        if student_id != caller.user_id:
            await transaction.execute(RECORD, caller.user_id, caller.role, reading, student_id, self.correlation_id)

    async def _record(self, caller: Principal, reading: Reading, student_ids: Sequence[int | None]) -> None:
        async with self.database.connection() as connection:
            arguments = caller.user_id, caller.role, reading, student_ids, self.correlation_id
            await connection.execute(RECORD_EACH, *arguments)


async def _access_log(request: Request) -> AccessLog:
    return AccessLog(context_of(request).database, UUID(request.state.correlation_id))


Accesses = Annotated[AccessLog, Depends(_access_log)]
