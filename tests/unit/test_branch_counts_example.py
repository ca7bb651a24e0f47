"""The example consumer of the guide counts the same for any order and repetition of the messages."""

import importlib.util
import random
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from uuid import uuid4

from contracts.attendance import AttendanceMarked, Presence
from contracts.drives import DriveDeleted
from contracts.message import Envelope, Event
from contracts.registrations import StudentRegistered
from contracts.students import AcademicRecord, StudentEnrolled, StudentRecordRevised

PATH = Path(__file__).parents[2] / "docs" / "examples" / "branch_counts.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("branch_counts", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def message(stream: str, version: int, event: Event) -> Envelope:
    return Envelope(
        id=uuid4(), type=event.TYPE, source="/placewire/test", subject=stream, time=datetime.now(UTC),
        streamversion=version, correlationid=uuid4(), data=event.model_dump(mode="json"),
    )  # fmt: skip


def enrolled(id_: int, branch: str | None) -> Envelope:
    record = AcademicRecord(branch=branch)
    return message(f"student-{id_}", 1, StudentEnrolled(student_id=id_, person_version=1, record=record))


def marked(version: int, status: Presence) -> Envelope:
    return message(
        "attendance-7-1", version, AttendanceMarked(attendance_id=1, drive_id=7, student_id=1, status=status)
    )


def test_order_and_repetition_change_nothing() -> None:
    revised = StudentRecordRevised(student_id=2, record=AcademicRecord(branch="ECE"), changed=["branch"])
    messages = [
        enrolled(1, "CSE"),
        enrolled(2, "CSE"),
        enrolled(3, None),
        message("student-2", 2, revised),
        message("registration-7-1", 1, StudentRegistered(registration_id=1, drive_id=7, student_id=1)),
        message("registration-8-2", 1, StudentRegistered(registration_id=2, drive_id=8, student_id=2)),
        message("drive-8", 5, DriveDeleted(drive_id=8)),
        marked(1, Presence.PRESENT),
        marked(2, Presence.ABSENT),
        marked(3, Presence.PRESENT),
    ]
    rng = random.Random(7)
    for _ in range(200):
        branch_counts = example().BranchCounts()
        for shuffled_message in rng.sample(messages * 3, k=len(messages) * 3):
            branch_counts.take(shuffled_message)
        assert branch_counts.counts() == {
            "": {"students": 1, "registered": 0, "present": 0},
            "CSE": {"students": 1, "registered": 1, "present": 1},
            "ECE": {"students": 1, "registered": 0, "present": 0},
        }
