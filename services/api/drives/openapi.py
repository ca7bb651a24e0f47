"""Request and response bodies of the drive routes."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, WithJsonSchema

from contracts.message import MAX_INTEGER
from services.api.drives.decider import Status
from services.api.http.fields import NO_NUL, NOT_BLANK, RequestBody, decimal_schema
from services.api.http.openapi import (
    NO_SPACE,
    Count,
    Document,
    Instant,
    JobBrief,
    MessageBody,
    TwoPlaces,
    bodies,
    documented,
)

Link = Annotated[str, Field(examples=["/uploads/job-descriptions/1795487959357-sde.pdf?exp=1795492800&sig=0f3c"])]


DAY = "2030-03-05"


class Drive(Document):
    """``job_domain`` repeats ``domain_name``. A null criterion sets no limit."""

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
    """``job``: the job that selects the students, if one was requested. ``warnings``: absent if there are none."""

    job: JobBrief | None = None
    warnings: list[str] = Field(
        default=[], examples=[["No student has the branch CSEE, so it makes no student eligible."]]
    )


class MessageAndJob(MessageBody):
    job: JobBrief | None = None


# --- Request bodies. forms.py parses them, because both text and numbers are accepted.


def _or_null(schema: dict[str, Any], example: Any) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*schema["anyOf"], {"type": "null"}], "examples": [example]})


Flag = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["true", "false", "", None]}], "examples": [True]})
]
Branch = Annotated[str, Field(pattern=NOT_BLANK)]
BatchYear = Annotated[int, Field(ge=1900, le=2200)]
TEXT_YEARS = r"^(|(19|20|21)[0-9][0-9](,(19|20|21)[0-9][0-9])*)$"
TEXT_CGPA = decimal_schema(10, empty=True)["anyOf"][0]["pattern"]
TEXT_PERCENT = decimal_schema(100, empty=True)["anyOf"][0]["pattern"]
TEXT_BACKLOGS = {"type": "string", "pattern": "^[0-9]{0,3}$"}
Cgpa = Annotated[Any, _or_null(decimal_schema(10, empty=True), "7.5")]
Percent = Annotated[Any, _or_null(decimal_schema(100, empty=True), "60")]
Backlogs = Annotated[Any, _or_null({"anyOf": [TEXT_BACKLOGS, {"type": "integer", "minimum": 0, "maximum": 1000}]}, 0)]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK)]
Day = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"enum": ["", None]}], "examples": [DAY]})
]


class Criteria(RequestBody):
    """An absent, empty or null criterion sets no limit."""

    min_cgpa: Cgpa = None
    min_10th: Percent = None
    min_12th: Percent = None
    max_backlogs: Backlogs = None
    branches: list[Branch] | Annotated[str, Field(pattern=NO_NUL)] | None = Field(
        default=None, examples=[["CSE", "ECE"]]
    )
    batch_years: list[BatchYear] | Annotated[str, Field(pattern=TEXT_YEARS)] | None = Field(
        default=None, examples=[[2027]]
    )


class Posting(Criteria):
    job_description: str | None = Field(default=None, max_length=50_000, pattern=NO_NUL)
    domain_id: int | None = Field(default=None, ge=1, le=MAX_INTEGER, examples=[7])
    interview_date: Day = None


# Two names of one field. A request may have only one of them.
ONE_FLAG: JsonValue = {"required": ["auto_calc", "autoCalc"]}


class NewDrive(Posting):
    """``auto_calc``: publish the drive at once to every eligible student."""

    model_config = ConfigDict(json_schema_extra={"not": ONE_FLAG})

    company_name: Title = Field(examples=["Acme"])
    job_title: Title = Field(examples=["SDE"])
    auto_calc: Flag = False
    autoCalc: Flag = Field(default=False, description="same as auto_calc; send one of them")  # noqa: N815


class RevisedDrive(Posting):
    """Only the fields that are sent change."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    company_name: Title = Field(default="", examples=["Acme"])
    job_title: Title = Field(default="", examples=["SDE"])


LIST_FORMAT = (
    "Repeat the field for each entry. Sent once, it holds entries separated by commas, or a JSON list. An entry with a"
    " comma must be in double quotes."
)


class Publication(RequestBody):
    """The students to select, by user id. Omitted or null: every eligible student."""

    selected_students: Annotated[list[Annotated[int, Field(ge=1, le=MAX_INTEGER)]], Field(min_length=1)] | None = Field(
        default=None, examples=[[1001, 1004]]
    )


FORMS: list[JsonValue] = [
    {"company_name": "Acme", "job_title": "SDE", "interview_date": DAY, "min_cgpa": "7.5", "auto_calc": "true"}
]


class UrlencodedDrive(RequestBody):
    """The fields as an HTML form sends them: all text, empty when absent."""

    model_config = ConfigDict(json_schema_extra={"examples": FORMS, "not": ONE_FLAG})

    company_name: Title
    job_title: Title
    job_description: str = Field(default="", max_length=50_000, pattern=NO_NUL)
    domain_id: str = Field(default="", pattern=r"^[0-9]{0,9}$")
    interview_date: str = Field(default="", pattern=r"^(|20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]))$")
    min_cgpa: str = Field(default="", pattern=TEXT_CGPA)
    min_10th: str = Field(default="", pattern=TEXT_PERCENT)
    min_12th: str = Field(default="", pattern=TEXT_PERCENT)
    max_backlogs: str = Field(default="", pattern=r"^[0-9]{0,3}$")
    branches: str = Field(default="", pattern=NO_NUL, examples=["CSE, ECE"], description=LIST_FORMAT)
    batch_years: str = Field(default="", pattern=TEXT_YEARS, examples=["2027"], description=LIST_FORMAT)
    auto_calc: Literal["true", "false"] = "false"
    autoCalc: Literal["", "true", "false"] = Field(default="", description="same as auto_calc; send one of them")  # noqa: N815


class DriveForm(UrlencodedDrive):
    """The form with a file."""

    pdf: bytes = Field(default=b"", json_schema_extra={"format": "binary"}, description="at most 25 MB")


# --- The routes

NO_DRIVE = {404: "Drive not found"}
INVALID_FIELD = {400: "min_cgpa must be 10 or less."}
WRONG_STATUS = {409: "A drive can only be revised while the drive is pending or posted; this drive is attending."}
ACCEPTED = "The committed drive. If the command requested a job, `job` shows it, and it has ended."


LIST = documented(list[Drive], description="Drives, newest first.", tagged=True)
GET = documented(Drive, {404: "Not found"}, description="The drive.", tagged=True)
CREATE = documented(
    DriveAndJob,
    {**INVALID_FIELD, **NO_SPACE},
    description="The committed drive.",
    status_code=201,
    job=True,
    **bodies(
        {
            "multipart/form-data": DriveForm,
            "application/x-www-form-urlencoded": UrlencodedDrive,
            "application/json": NewDrive,
        },
        {"pdf": "application/pdf"},
    ),
)
REVISE = documented(
    DriveAndJob,
    {**INVALID_FIELD, **NO_DRIVE, **WRONG_STATUS},
    description=ACCEPTED,
    job=True,
    **bodies({"application/json": RevisedDrive}),
)
PUBLISH = documented(
    DriveAndJob,
    {
        **NO_DRIVE,
        **WRONG_STATUS,
        422: "2 of the selected students are not eligible for this drive: 1004, 1010",
    },
    description=ACCEPTED,
    job=True,
    **bodies({"application/json": Publication}, required=False),
)
TRIGGER = documented(MessageAndJob, {**NO_DRIVE, **WRONG_STATUS}, description="The evaluation was requested.", job=True)
STOP = documented(MessageAndJob, {**NO_DRIVE, **WRONG_STATUS}, description="Registrations are closed.")
DELETE = documented(MessageBody, WRONG_STATUS, description="The drive no longer exists.")
