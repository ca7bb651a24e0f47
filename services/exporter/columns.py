"""The columns of exports: the SQL of each value, and the type of its cells."""

from chassis.spreadsheets.cells import CellType, Column
from contracts.exports import COLUMNS, ExportKind

_PERSON = {
    "roll_number": ("s.roll_number", CellType.TEXT),
    "name": ("u.name", CellType.TEXT),
    "email": ("u.email", CellType.TEXT),
    "branch": ("s.branch", CellType.TEXT),
    "batch_year": ("s.batch_year", CellType.WHOLE),
    "cgpa": ("s.cgpa", CellType.DECIMAL),
    "tenth_percent": ("s.tenth_percent", CellType.DECIMAL),
    "twelfth_percent": ("s.twelfth_percent", CellType.DECIMAL),
    "diploma_percent": ("s.diploma_percent", CellType.DECIMAL),
    "active_backlogs": ("s.active_backlogs", CellType.WHOLE),
}
_DRIVE = {"company_name": ("d.company_name", CellType.TEXT), "job_title": ("d.job_title", CellType.TEXT)}
# The subquery does not refer to the drive of the outer row, so Postgres can hash it once for all students.
_SELECTED = """EXISTS (SELECT FROM selections c
                 WHERE c.drive_id = {drive_id} AND c.student_id = s.student_id AND c.revoked_version IS NULL)"""

_OF: dict[ExportKind, dict[str, tuple[str, CellType]]] = {
    ExportKind.REGISTRATIONS: _PERSON
    | _DRIVE
    | {
        "registration_id": ("r.registration_id", CellType.WHOLE),
        "student_id": ("r.student_id", CellType.WHOLE),
        "registered_at": ("r.registered_at", CellType.INSTANT),
        "drive_id": ("r.drive_id", CellType.WHOLE),
    },
    ExportKind.ELIGIBLE_STUDENTS: _PERSON
    | _DRIVE
    | {
        "student_id": ("s.student_id", CellType.WHOLE),
        "selected": (_SELECTED, CellType.FLAG),
        "drive_id": ("d.drive_id", CellType.WHOLE),
    },
    ExportKind.ATTENDANCE: _PERSON
    | _DRIVE
    | {
        "attendance_id": ("a.attendance_id", CellType.WHOLE),
        "student_id": ("a.student_id", CellType.WHOLE),
        "status": ("a.status", CellType.TEXT),
        "drive_id": ("a.drive_id", CellType.WHOLE),
    },
    ExportKind.FINISHED_DRIVES: {
        "drive_id": ("f.drive_id", CellType.WHOLE),
        "company_name": ("f.company_name", CellType.TEXT),
        "job_title": ("f.job_title", CellType.TEXT),
        "domain_name": ("j.domain_name", CellType.TEXT),
        "interview_date": ("f.interview_date", CellType.DAY),
        "finished_date": ("f.finished_date", CellType.INSTANT),
        "total_registered": ("f.total_registered", CellType.WHOLE),
        "total_present": ("f.total_present", CellType.WHOLE),
        "total_absent": ("f.total_absent", CellType.WHOLE),
    },
}


def columns(kind: ExportKind, names: list[str]) -> list[Column]:
    """Return the columns ``names`` of ``kind``, in this order. Raises ``KeyError`` for a name not in ``COLUMNS``."""
    known = {name: _OF[kind][name] for name in COLUMNS[kind]}
    return [Column(name, *known[name]) for name in names]
