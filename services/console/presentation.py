"""Format values for people: instants in the campus's time zone, days, numbers, states."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from services.console.languages import locale_of

NOTHING = "\u2013"

# Icon, word and tone of each state. Templates translate the word.
STATES: dict[str, tuple[str, str, str]] = {
    "pending": ("pencil-square", "Draft", "quiet"),
    "posted": ("megaphone", "Open", "good"),
    "attending": ("clipboard-check", "Attendance", "notice"),
    "finished": ("flag", "Finished", "quiet"),
    "queued": ("hourglass-split", "Queued", "quiet"),
    "requested": ("hourglass-split", "Requested", "quiet"),
    "running": ("arrow-repeat", "Running", "notice"),
    "succeeded": ("check-circle", "Succeeded", "good"),
    "completed": ("check-circle", "Ready", "good"),
    "failed": ("x-octagon", "Failed", "bad"),
    "cancelled": ("slash-circle", "Cancelled", "quiet"),
    "expired": ("clock-history", "Expired", "quiet"),
    "PRESENT": ("check-circle", "Present", "good"),
    "ABSENT": ("x-circle", "Absent", "bad"),
    "unmarked": ("circle", "Not marked", "quiet"),
    "active": ("check-circle", "Active", "good"),
    "deactivated": ("slash-circle", "Deactivated", "quiet"),
    "eligible": ("check-circle", "Eligible", "good"),
    "not eligible": ("x-circle", "Not eligible", "bad"),
    "registered": ("bookmark-check", "Registered", "good"),
    "deleted": ("trash", "Deleted", "quiet"),
    "dead_lettered": ("exclamation-octagon", "Given up", "bad"),
    "new": ("circle-fill", "New", "notice"),
    "read": ("check2", "Read", "quiet"),
}

ROLES = {"HEAD": "Head", "COORDINATOR": "Coordinator", "STAFF": "Staff", "STUDENT": "Student"}

# A sentence for each reason code of the API.
REASONS = {
    "CGPA_BELOW_MIN": "The CGPA is below the minimum.",
    "TENTH_BELOW_MIN": "The 10th percentage is below the minimum.",
    "TWELFTH_BELOW_MIN": "The 12th percentage is below the minimum.",
    "TOO_MANY_BACKLOGS": "There are too many active backlogs.",
    "BRANCH_NOT_ASKED": "The branch is not one that the company asks for.",
    "BATCH_YEAR_NOT_ASKED": "The batch year is not one that the company asks for.",
    "MARKS_MISSING": "Marks are missing in the record.",
    "ACCOUNT_DEACTIVATED": "The account is deactivated.",
    "No eligibility record found": "There is no record of you as a student.",
    "Drive not posted yet": "The drive is not open for registration.",
    "Student does not meet eligibility criteria": "The criteria are not met.",
    "Auto-published drive": "Open to everyone who meets the criteria.",
    "Selected by coordinator": "Selected for this drive.",
    "Not selected by coordinator": "The criteria are met, but the coordinator's list does not have this student.",
}


# Operations of the access log.
READINGS = {
    "student.viewed": "Opened the record",
    "student.corrected": "Corrected the record",
    "account.changed": "Changed the account",
    "decision.explained": "Read why the student is eligible or not",
    "students.listed": "Searched students",
    "students.imported": "Imported students",
    "eligible.listed": "Listed eligible students",
    "eligible.filtered": "Filtered eligible students",
    "eligible.listed-as-of": "Listed eligible students",
    "registrations.listed": "Listed registrations",
    "attendance.listed": "Listed attendance",
    "attendance.downloaded": "Downloaded attendance",
    "export.downloaded": "Downloaded a file",
}


FIELDS = {
    "company_name": "Company", "job_title": "Job title", "job_description": "Description", "domain_id": "Job domain",
    "interview_date": "Interview day", "min_cgpa": "CGPA at least", "min_10th": "10th at least",
    "min_12th": "12th at least", "max_backlogs": "Active backlogs at most", "branches": "Branches",
    "batch_years": "Batch years", "pdf_path": "PDF", "pdf_name": "Name of the PDF", "name": "Name",
    "email": "E-mail address", "roll_number": "Roll number", "branch": "Branch", "batch_year": "Batch year",
    "tenth_percent": "10th", "twelfth_percent": "12th", "diploma_percent": "Diploma", "cgpa": "CGPA",
    "active_backlogs": "Active backlogs", "department": "Department", "auto_published": "To everyone eligible",
    "listed": "Students listed", "drive_version": "Version of the drive", "eligible": "Eligible",
    "selected": "Selected", "newly_selected": "Newly selected", "no_longer_selected": "No longer selected",
    "registered_no_longer_eligible": "Registered, no longer eligible", "registered": "Registered",
    "present": "Present", "absent": "Absent", "reason": "Reason", "posted": "Open", "rows": "Rows",
    "students": "Students", "drive_id": "Drive",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Formats:
    """Formats for one language and the campus's time zone."""

    language: str
    zone: ZoneInfo

    def moment(self, value: str | datetime | None) -> Markup:
        """Return an instant in the campus's time zone, with the exact instant as its tooltip."""
        if value is None:
            return escape(NOTHING)
        instant = _instant(value)
        shown = format_datetime(instant, "d MMM y, HH:mm", tzinfo=self.zone, locale=locale_of(self.language))
        exact = instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)

    def day(self, value: str | date | None) -> str:
        """Return a day without a time: ``5 Mar 2030``."""
        if value in (None, ""):
            return NOTHING
        day = value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
        return str(format_date(day, "d MMM y", locale=locale_of(self.language)))

    def ago(self, value: str) -> Markup:
        """Return how long ago an instant was, with the exact instant as its tooltip."""
        instant = _instant(value)
        text = format_timedelta(instant - datetime.now(UTC), add_direction=True, locale=locale_of(self.language))
        return Markup('<time datetime="{}" title="{}">{}</time>').format(value, value, text)

    def number(self, value: Any) -> str:
        """Return a number with the separators of the language, or a dash for ``None``."""
        return NOTHING if value is None else str(format_decimal(value, locale=locale_of(self.language)))


def age(seconds: float | None) -> str:
    """Return a duration like ``0.25 s`` or ``12 min``, or a dash for ``None``."""
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.2f}\N{NO-BREAK SPACE}s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f}\N{NO-BREAK SPACE}min"
    return f"{seconds / 3_600:.0f}\N{NO-BREAK SPACE}h"


def seconds_between(begin: str | None, end: str | None) -> str:
    """Return a duration like ``0.25 s``, or a dash when an end is ``None``."""
    if begin is None or end is None:
        return NOTHING
    return f"{(_instant(end) - _instant(begin)).total_seconds():.2f}\N{NO-BREAK SPACE}s"


def shown_value(value: Any) -> Markup:
    """Return a value of an event as text: a list with commas, an empty value as a dash."""
    if value in (None, "", []):
        return escape(NOTHING)
    if isinstance(value, dict):
        return escape(", ".join(f"{name} {inner}" for name, inner in value.items()))
    if isinstance(value, bool):
        return escape("✓" if value else NOTHING)
    if isinstance(value, list):
        return escape(", ".join(map(str, value)))
    return escape(str(value))


def _instant(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
