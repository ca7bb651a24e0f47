"""Decide commands on a student's record. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from typing import Any

from chassis.errors import NotFound
from contracts.message import Event
from contracts.students import AcademicRecord, StudentEnrolled, StudentRecordRevised
from services.api.users.decider import Person

MARKS = ("tenth_percent", "twelfth_percent", "diploma_percent", "cgpa")
TWO_PLACES = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Student:
    """The state that decisions need."""

    version: int = 0
    record: AcademicRecord | None = None


@dataclass(frozen=True, slots=True)
class EnrolStudent:
    """``student_id``: the id of ``person`` in the vault."""

    student_id: int
    person: Person
    department: str | None
    record: AcademicRecord


@dataclass(frozen=True, slots=True)
class ReviseRecord:
    """``changes``: fields of ``AcademicRecord`` with their new values; ``None`` removes a mark."""

    student_id: int
    changes: dict[str, Any]


def evolve(student: Student, event: Event) -> Student:
    student = replace(student, version=student.version + 1)
    match event:
        case StudentEnrolled() | StudentRecordRevised():
            return replace(student, record=event.record)
        case _:
            return student


def fold(events: Iterable[Event]) -> Student:
    return reduce(evolve, events, Student())


def decide(student: Student, command: EnrolStudent | ReviseRecord) -> list[StudentEnrolled | StudentRecordRevised]:
    """Return the events of ``command``; ``[]`` when it changes nothing. Raises ``NotFound`` for an unknown student."""
    if isinstance(command, EnrolStudent):
        return [
            StudentEnrolled(
                student_id=command.student_id,
                person_version=command.person.version,
                department=command.department,
                record=_with_two_places(command.record),
            )
        ]
    if student.record is None:
        raise NotFound("Student not found")
    revised = _with_two_places(student.record.model_copy(update=command.changes))
    changed = [name for name in AcademicRecord.model_fields if getattr(student.record, name) != getattr(revised, name)]
    if not changed:
        return []
    return [StudentRecordRevised(student_id=command.student_id, record=revised, changed=changed)]


def _with_two_places(record: AcademicRecord) -> AcademicRecord:
    """Return the record with marks in one format: ``7.5`` becomes ``7.50``, as in an import."""
    marks = {name: getattr(record, name) for name in MARKS}
    return record.model_copy(
        update={name: mark.quantize(TWO_PLACES) for name, mark in marks.items() if mark is not None}
    )
