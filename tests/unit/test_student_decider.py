"""Decisions on a student's record: enrolment and revisions."""

from decimal import Decimal

import pytest

from chassis.errors import NotFound
from contracts.students import AcademicRecord, StudentEnrolled, StudentRecordRevised
from services.api.students.decider import EnrolStudent, ReviseRecord, Student, decide, fold
from services.api.users.decider import Person

ASHA = Person(1, "Asha", "asha@college.edu", "21CS001")
RECORD = AcademicRecord(branch="CSE", cgpa=Decimal("7.50"))


def enrolled(record: AcademicRecord = RECORD) -> StudentEnrolled:
    return StudentEnrolled(student_id=7, person_version=1, record=record)


def test_enrolling_records_the_student() -> None:
    command = EnrolStudent(7, ASHA, None, RECORD)
    assert decide(Student(), command) == [enrolled()]


def test_marks_are_recorded_with_two_decimals() -> None:
    record = RECORD.model_copy(update={"cgpa": Decimal("1E+1"), "tenth_percent": Decimal("7.5")})
    (event,) = decide(Student(), EnrolStudent(7, ASHA, None, record))
    assert event.model_dump(mode="json")["record"]["cgpa"] == "10.00"
    assert event.model_dump(mode="json")["record"]["tenth_percent"] == "7.50"


def test_a_revision_holds_the_whole_record_and_names_what_changed() -> None:
    command = ReviseRecord(7, {"cgpa": Decimal("8.1"), "active_backlogs": 0, "tenth_percent": Decimal("91")})
    revised = RECORD.model_copy(update={"cgpa": Decimal("8.10"), "tenth_percent": Decimal("91.00")})
    assert decide(fold([enrolled()]), command) == [
        StudentRecordRevised(student_id=7, record=revised, changed=["tenth_percent", "cgpa"])
    ]


def test_a_mark_can_be_removed() -> None:
    (event,) = decide(fold([enrolled()]), ReviseRecord(7, {"cgpa": None}))
    assert event.record.cgpa is None


def test_the_same_marks_again_change_nothing() -> None:
    assert decide(fold([enrolled()]), ReviseRecord(7, {"cgpa": Decimal("7.5"), "branch": "CSE"})) == []


def test_a_revision_applies_to_the_latest_record() -> None:
    first = decide(fold([enrolled()]), ReviseRecord(7, {"branch": "ECE"}))
    student = fold([enrolled(), *first])
    assert student.version == 2
    assert decide(student, ReviseRecord(7, {"branch": "ECE"})) == []


def test_an_unknown_student_is_not_found() -> None:
    with pytest.raises(NotFound):
        decide(fold([]), ReviseRecord(7, {"branch": "ECE"}))
