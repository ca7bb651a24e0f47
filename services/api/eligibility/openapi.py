"""What the routes of eligibility answer."""

from typing import Literal

from pydantic import Field

from services.api.eligibility.rules import Reason
from services.api.http.openapi import Count, Document, Instant, TwoPlaces, documented


class OpenDrive(Document):
    drive_id: int = Field(examples=[42])
    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])


class EligibleStudent(Document):
    """``filtered_at``: when the drive's selections were last worked out."""

    id: int = Field(examples=[1001])
    drive_id: int = Field(examples=[42])
    student_id: int = Field(examples=[1001])
    is_eligible: Literal[True]
    filtered_by: None
    filtered_at: Instant | None
    name: str = Field(examples=["Ravi Iyer"])
    email: str = Field(examples=["ravi@college.edu"])
    cgpa: TwoPlaces | None
    roll_number: str = Field(examples=["21CS042"])
    branch: str | None = Field(examples=["CSE"])
    active_backlogs: Count
    tenth_percent: TwoPlaces | None
    twelfth_percent: TwoPlaces | None
    diploma_percent: TwoPlaces | None


class Filtered(Document):
    filtered_count: Count
    studentIds: list[int] = Field(examples=[[1001, 1004]])  # noqa: N815 - the frontend's name


class EligibilityVerdict(Document):
    """``reasons``: which criteria the student fails."""

    eligible: bool
    reason: Literal[
        "No eligibility record found",
        "Drive not posted yet",
        "Student does not meet eligibility criteria",
        "Auto-published drive",
        "Selected by coordinator",
        "Not selected by coordinator",
    ]
    reasons: list[Reason]


MINE = documented(list[OpenDrive], says="Posted drives the caller may register for, newest first.")
LIST = documented(list[EligibleStudent], says="Everyone who meets the drive's criteria now, by id.")
FILTER = documented(Filtered, {404: "Drive not found"}, says="Who would meet these criteria.")
SELECTED = {"eligible": True, "reason": "Selected by coordinator", "reasons": []}
CHECK = documented(EligibilityVerdict, says="May the caller register?", tagged=True, example=SELECTED)
