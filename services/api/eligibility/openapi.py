"""Response bodies of the eligibility routes."""

from typing import Literal

from pydantic import Field

from services.api.drives.openapi import Criteria
from services.api.eligibility.rules import Reason
from services.api.http.openapi import Count, Document, Instant, TwoPlaces, bodies, documented


class OpenDrive(Document):
    drive_id: int = Field(examples=[42])
    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])


class EligibleStudent(Document):
    """``filtered_at``: when the drive was last evaluated."""

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


class EligibleCount(Document):
    """``students``: the number of active students. ``eligible``: how many of them meet the criteria."""

    eligible: Count = Field(examples=[412])
    students: Count = Field(examples=[2_140])


class EligibilityVerdict(Document):
    """``reasons``: the criteria that the student fails."""

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


MINE = documented(list[OpenDrive], description="Posted drives the caller may register for, newest first.")
LIST = documented(list[EligibleStudent], description="The students who meet the drive's criteria now, by id.")
FILTER = documented(Filtered, {404: "Drive not found"}, description="The students who would meet these criteria.")
COUNT = documented(
    EligibleCount,
    {400: "min_cgpa must be a number with at most two decimals from 0 to 10."},
    description="The number of students who would be eligible.",
    **bodies({"application/json": Criteria}, required=False),
)
SELECTED = {"eligible": True, "reason": "Selected by coordinator", "reasons": []}
CHECK = documented(EligibilityVerdict, description="Whether the caller may register.", tagged=True, example=SELECTED)
