"""What the routes of drives take and answer."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from contracts.drives import Posting
from services.api.documents import Count, Document, Instant, JobBrief, Said, TwoPlaces, documented, json_body
from services.api.drives.decider import Status

Link = Annotated[str, Field(examples=["/uploads/job-descriptions/1795487959357-sde.pdf?exp=1795492800&sig=0f3c"])]


class Drive(Document):
    """``job_domain`` repeats ``domain_name``. A criterion that is null is no limit."""

    drive_id: int = Field(examples=[42])
    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])
    job_description: str
    domain_id: int | None = Field(examples=[7])
    domain_name: str | None = Field(examples=["Cloud Computing"])
    job_domain: str | None = Field(examples=["Cloud Computing"])
    interview_date: Instant | None
    min_cgpa: TwoPlaces | None
    min_10th: TwoPlaces | None
    min_12th: TwoPlaces | None
    max_backlogs: Count | None
    branches: list[str] | None = Field(examples=[["CSE", "ECE"]])
    batch_years: list[int] | None = Field(examples=[[2027]])
    posted_by: int | None
    created_at: Instant
    auto_published: bool
    pdf_path: Link | None
    status: Status
    published_at: Instant | None
    published_by: int | None
    attendance_published: bool


class DriveAndJob(Drive):
    """``job``: the work of selecting students, when the command asked for it."""

    job: JobBrief | None = None


class SaidAndJob(Said):
    job: JobBrief | None = None


TEXT = r"^[^\x00]*\S[^\x00]*$"
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
Description = Annotated[str, Field(max_length=50_000, pattern=r"^[^\x00]*$")]
Day = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2030-03-05"])]


def _number(most: int) -> dict[str, Any]:
    text = rf"^({most}(\.0{{1,2}})?|\d{{1,{len(str(most)) - 1}}}(\.\d{{1,2}})?)$"
    return {"anyOf": [{"type": "string", "pattern": text}, {"type": "integer", "minimum": 0, "maximum": most}]}


CgpaText = Annotated[str, WithJsonSchema(_number(10) | {"examples": ["7.5"]})]
PercentText = Annotated[str, WithJsonSchema(_number(100) | {"examples": ["60"]})]


class RevisedPosting(BaseModel):
    """Only what is sent changes; null lifts a limit. Numbers may be text."""

    company_name: Title = Field(default="", examples=["Acme"])


NO_DRIVE = {404: "Drive not found"}
WRONG_FIELD = "min_cgpa: Input should be less than or equal to 10"
WRONG_STATE = "A drive can only be revised while it is pending or posted; this drive is attending."
