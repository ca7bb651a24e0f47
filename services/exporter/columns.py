"""What each column of an export is: the SQL that gives it, and the sort of value that decides how it is written."""

from dataclasses import dataclass
from enum import Enum, auto

from contracts.exports import COLUMNS, ExportKind


class Sort(Enum):
    TEXT = auto()
    WHOLE = auto()
    DECIMAL = auto()
    FLAG = auto()
    DAY = auto()
    INSTANT = auto()


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    expression: str
    sort: Sort


_PERSON = {
    "roll_number": ("s.roll_number", Sort.TEXT),
    "name": ("u.name", Sort.TEXT),
    "email": ("u.email", Sort.TEXT),
    "branch": ("s.branch", Sort.TEXT),
    "batch_year": ("s.batch_year", Sort.WHOLE),
    "cgpa": ("s.cgpa", Sort.DECIMAL),
    "tenth_percent": ("s.tenth_percent", Sort.DECIMAL),
    "twelfth_percent": ("s.twelfth_percent", Sort.DECIMAL),
    "diploma_percent": ("s.diploma_percent", Sort.DECIMAL),
    "active_backlogs": ("s.active_backlogs", Sort.WHOLE),
}
_DRIVE = {"company_name": ("d.company_name", Sort.TEXT), "job_title": ("d.job_title", Sort.TEXT)}
# A subquery without the outer row's drive in it can be hashed once for all students.
_SELECTED = """EXISTS (SELECT FROM selections c
                 WHERE c.drive_id = {drive_id} AND c.student_id = s.student_id AND c.revoked_version IS NULL)"""

_OF: dict[ExportKind, dict[str, tuple[str, Sort]]] = {
    ExportKind.REGISTRATIONS: _PERSON
    | _DRIVE
    | {
        "registration_id": ("r.registration_id", Sort.WHOLE),
        "student_id": ("r.student_id", Sort.WHOLE),
        "registered_at": ("r.registered_at", Sort.INSTANT),
        "drive_id": ("r.drive_id", Sort.WHOLE),
    },
    ExportKind.ELIGIBLE_STUDENTS: _PERSON
    | _DRIVE
    | {
        "student_id": ("s.student_id", Sort.WHOLE),
        "selected": (_SELECTED, Sort.FLAG),
        "drive_id": ("d.drive_id", Sort.WHOLE),
    },
    ExportKind.ATTENDANCE: _PERSON
    | _DRIVE
    | {
        "attendance_id": ("a.attendance_id", Sort.WHOLE),
        "student_id": ("a.student_id", Sort.WHOLE),
        "status": ("a.status", Sort.TEXT),
        "drive_id": ("a.drive_id", Sort.WHOLE),
    },
    ExportKind.FINISHED_DRIVES: {
        "drive_id": ("f.drive_id", Sort.WHOLE),
        "company_name": ("f.company_name", Sort.TEXT),
        "job_title": ("f.job_title", Sort.TEXT),
        "domain_name": ("j.domain_name", Sort.TEXT),
        "interview_date": ("f.interview_date", Sort.DAY),
        "finished_date": ("f.finished_date", Sort.INSTANT),
        "total_registered": ("f.total_registered", Sort.WHOLE),
        "total_present": ("f.total_present", Sort.WHOLE),
        "total_absent": ("f.total_absent", Sort.WHOLE),
    },
}


def columns(kind: ExportKind, names: list[str]) -> list[Column]:
    """``names`` of ``kind``, in that order. Raises ``KeyError`` for one that is not among ``COLUMNS``."""
    known = {name: _OF[kind][name] for name in COLUMNS[kind]}
    return [Column(name, *known[name]) for name in names]
