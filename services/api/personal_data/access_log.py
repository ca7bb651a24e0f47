"""Record who looks at students' records, before the response shows them. The recorded operations: ``Reading``.

A person who reads their own record is not recorded. An entry holds ids, no names. It is written before the response is
sent, in one statement that does not wait for the disk: if the database server crashes, it can lose the records of its
last half second. If the record cannot be written, the response is an error and shows nothing.
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

# A page of a list with at most this many students is probably a search, and is recorded for each of them.
FEW = 10

RECORD = """
INSERT INTO access_log (reader_id, reader_role, operation, student_id, correlation_id) VALUES ($1, $2, $3, $4, $5)
"""
# The setting holds for this statement's own transaction.
RECORD_EACH = """
WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO access_log (reader_id, reader_role, operation, student_id, correlation_id)
SELECT $1, $2, $3, shown.student_id, $5 FROM unhurried, unnest($4::integer[]) AS shown (student_id)
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
    """Records what one request shows."""

    database: Database
    correlation_id: UUID

    async def of_one(self, caller: Principal, reading: Reading, student_id: int) -> None:
        """Record that ``caller`` is shown the record of one student. Records nothing for their own."""
        if student_id != caller.user_id:
            await self._record(caller, reading, [student_id])

    async def of_many(self, caller: Principal, reading: Reading) -> None:
        """Record that ``caller`` is shown a list of students: one record, however many students."""
        await self._record(caller, reading, [None])

    async def of_page(self, caller: Principal, reading: Reading, student_ids: Sequence[int]) -> None:
        """Record a page of a list: for each student if there are at most ``FEW``, else as ``of_many``."""
        if student_ids:
            await self._record(caller, reading, student_ids if len(student_ids) <= FEW else [None])

    async def in_command(self, transaction: Connection, caller: Principal, reading: Reading, student_id: int) -> None:
        """Record, in the command's transaction, that its response shows the record of one student."""
        if student_id != caller.user_id:
            await transaction.execute(RECORD, caller.user_id, caller.role, reading, student_id, self.correlation_id)

    async def _record(self, caller: Principal, reading: Reading, shown: Sequence[int | None]) -> None:
        async with self.database.connection() as connection:
            await connection.execute(RECORD_EACH, caller.user_id, caller.role, reading, shown, self.correlation_id)


async def _access_log(request: Request) -> AccessLog:
    return AccessLog(context_of(request).database, UUID(request.state.correlation_id))


Accesses = Annotated[AccessLog, Depends(_access_log)]
