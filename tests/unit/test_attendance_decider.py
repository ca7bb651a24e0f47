"""Decide who may be marked, and when attendance may be published."""

from typing import Any

import pytest

from chassis.errors import DomainError, Invalid, NotFound, RuleViolation
from contracts.attendance import AttendanceMarked, Presence
from contracts.drives import (
    AttendancePublished,
    Criteria,
    DriveCreated,
    DriveDeleted,
    DriveEvent,
    DrivePublished,
    Posting,
    RegistrationsStopped,
)
from services.api.attendance.decider import MarkAttendance, Sheet, decide
from services.api.drives.decider import PublishAttendance, Status, fold
from services.api.drives.decider import decide as decide_drive

PRESENT = MarkAttendance(drive_id=1, student_id=7, status=Presence.PRESENT, new_id=40)
REGISTERED = Sheet(Status.ATTENDING, known=True, registered=True)
MARKED = Sheet(Status.ATTENDING, known=True, registered=True, attendance_id=31, mark=Presence.ABSENT)


def marked(attendance_id: int) -> AttendanceMarked:
    return AttendanceMarked(attendance_id=attendance_id, drive_id=1, student_id=7, status=Presence.PRESENT)


def test_the_first_mark_of_a_student_gets_the_new_id() -> None:
    assert decide(REGISTERED, PRESENT) == [marked(40)]


def test_another_mark_keeps_the_id_of_the_first() -> None:
    assert decide(MARKED, PRESENT) == [marked(31)]


def test_the_same_mark_again_changes_nothing() -> None:
    assert decide(Sheet(Status.ATTENDING, True, True, 31, Presence.PRESENT), PRESENT) == []


@pytest.mark.parametrize(
    ("sheet", "refusal", "message"),
    [
        (Sheet(), NotFound, "Drive not found"),
        (Sheet(Status.PENDING, True, True), RuleViolation, "this drive is pending"),
        (Sheet(Status.POSTED, True, True), RuleViolation, "this drive is posted"),
        (Sheet(Status.FINISHED, True, True), Invalid, "Attendance already published"),
        (Sheet(Status.ATTENDING), NotFound, "Student not found"),
        (Sheet(Status.ATTENDING, known=True), RuleViolation, "not registered"),
    ],
)
def test_a_mark_is_refused(sheet: Sheet, refusal: type[DomainError], message: str) -> None:
    with pytest.raises(refusal, match=message) as refused:
        decide(sheet, PRESENT)
    assert type(refused.value) is refusal


POSTING = Posting(company_name="Acme", job_title="SDE", criteria=Criteria())
CREATED = DriveCreated(drive_id=1, posting=POSTING, posted_by=9)
PUBLISHED = DrivePublished(drive_id=1, criteria=Criteria(), published_by=8)
STOPPED = RegistrationsStopped(drive_id=1)
FINISHED = AttendancePublished(drive_id=1, registered=3, present=1, absent=1)
PUBLISH = PublishAttendance(1, registered=3, present=1, absent=1)


def test_publishing_attendance_finishes_the_drive() -> None:
    assert decide_drive(fold([CREATED, PUBLISHED, STOPPED]), PUBLISH) == [FINISHED]
    assert fold([CREATED, PUBLISHED, STOPPED, FINISHED]).status is Status.FINISHED


@pytest.mark.parametrize(
    ("history", "refusal", "message"),
    [
        ((), NotFound, "Drive not found"),
        ((CREATED, PUBLISHED, STOPPED, DriveDeleted(drive_id=1)), NotFound, "Drive not found"),
        ((CREATED,), RuleViolation, "this drive is pending"),
        ((CREATED, PUBLISHED), RuleViolation, "this drive is posted"),
        ((CREATED, PUBLISHED, STOPPED, FINISHED), Invalid, "Attendance already published"),
    ],
)
def test_publishing_attendance_is_refused(history: tuple[DriveEvent, ...], refusal: Any, message: str) -> None:
    with pytest.raises(refusal, match=message):
        decide_drive(fold(history), PUBLISH)


def test_attendance_without_a_mark_cannot_be_published() -> None:
    with pytest.raises(Invalid, match="Mark attendance for at least one student before publishing") as refused:
        decide_drive(fold([CREATED, PUBLISHED, STOPPED]), PublishAttendance(1, registered=3, present=0, absent=0))
    assert refused.value.status == 400
