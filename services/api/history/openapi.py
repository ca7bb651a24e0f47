"""Response bodies of the time travel routes."""

from typing import Annotated, Any

from pydantic import Field

from services.api.drives.decider import Status
from services.api.eligibility.rules import Reason
from services.api.http.openapi import Count, Document, Instant, TwoPlaces, documented
from services.api.students.openapi import StudentRecord

Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=["01a20f45-ed4d-75fd-b1d7-27e0d57b9952"])]
Value = Annotated[Any, Field(examples=["7.50"])]


class Criteria(Document):
    """A null criterion sets no limit."""

    min_cgpa: TwoPlaces | None
    min_10th: TwoPlaces | None
    min_12th: TwoPlaces | None
    max_backlogs: Count | None
    branches: list[str] | None = Field(examples=[["CSE"]])
    batch_years: list[int] | None = Field(examples=[[2027]])


class Students(Document):
    first: int = Field(examples=[1001])
    last: int = Field(examples=[1001])


class Evaluation(Document):
    """``students``: the range of ids that was evaluated; null: all students."""

    drive_version: int = Field(examples=[3])
    students: Students | None
    eligible: Count
    selected: Count
    newly_selected: Count
    no_longer_selected: Count
    registered_no_longer_eligible: Count | None
    evaluated_at: Instant
    job_id: Uuid


class PastEligibleStudent(StudentRecord):
    """A student with their marks at that moment. ``selected``: whether evaluations up to that moment selected them."""

    selected: bool


class Eligibility(Document):
    """``evaluation``: the newest one at that moment. ``next``: ``after`` for the next page; null on the last page.

    A page that is not full may have a next page.
    """

    drive_id: int = Field(examples=[42])
    at: Instant
    status: Status
    drive_version: int = Field(examples=[3])
    criteria: Criteria
    evaluation: Evaluation | None
    students: list[PastEligibleStudent]
    next: int | None = Field(examples=[1001])


class CriterionVerdict(Document):
    """The result of one criterion: what the drive required, what was on record, and the reason if it failed.

    ``judged_on``: the field of the record. For ``min_12th`` of a student without a 12th mark it is ``diploma_percent``.
    """

    criterion: str = Field(examples=["min_cgpa"])
    judged_on: str = Field(examples=["cgpa"])
    required: Value
    actual: Value
    met: bool
    reason: Reason | None


class PastDecision(Document):
    """The decision on this student by the last evaluation before that moment, and its basis.

    ``judged_by``: the version of the drive whose criteria the evaluation applied. ``listed``: whether the student was
    on the coordinator's list; null if there was no list. ``record_version``: the record that the evaluation read; null
    if the student had none.
    """

    drive_version: int = Field(examples=[3])
    judged_by: int = Field(examples=[2])
    job_id: Uuid
    evaluated_at: Instant
    record_version: int | None = Field(examples=[1])
    eligible: bool
    listed: bool | None
    selected: bool
    criteria: list[CriterionVerdict]
    reasons: list[Reason]


class Explanation(Document):
    """The verdict by the criteria and marks at ``at``. ``decision``: the last decision before that moment, if any."""

    drive_id: int = Field(examples=[42])
    student_id: int = Field(examples=[1001])
    at: Instant
    status: Status
    drive_version: int = Field(examples=[3])
    record_version: int = Field(examples=[1])
    eligible: bool
    criteria: list[CriterionVerdict]
    reasons: list[Reason]
    decision: PastDecision | None


class Actor(Document):
    """The user who caused a change, with their current name and role."""

    user_id: int = Field(examples=[7])
    name: str | None = Field(examples=["Meera Nair"])
    role: str | None = Field(examples=["HEAD"])


class DriveFieldChange(Document):
    field: str = Field(examples=["min_cgpa"])
    before: Value
    after: Value


class Change(Document):
    """``actor``: the user who caused the change; null: no user did. ``facts``: other data of the event, by its type."""

    position: int = Field(examples=[90210])
    version: int = Field(examples=[3])
    type: str = Field(examples=["placewire.drive.revised.v1"])
    at: Instant
    source: str = Field(examples=["api"])
    actor: Actor | None
    changes: list[DriveFieldChange]
    facts: dict[str, Any]


NOT_YET_CREATED = {404: "This drive did not exist yet at that moment."}
EXPLAIN_REFUSALS = {**NOT_YET_CREATED, 403: "You can only query your own data."}

ELIGIBILITY = documented(Eligibility, NOT_YET_CREATED, description="Students who were eligible at that moment, by id.")
EXPLAIN = documented(Explanation, EXPLAIN_REFUSALS, description="The verdict on each criterion, and the decision.")
HISTORY = documented(list[Change], {404: "Drive not found"}, description="What happened to the drive, newest first.")
