"""Response bodies of the student routes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from services.api.drives.decider import Status
from services.api.http.openapi import NO_SPACE, Count, Document, Instant, TwoPlaces, documented
from services.api.personal_data.openapi import Access


class StudentRecord(Document):
    """A mark that is not on record is null."""

    student_id: int = Field(examples=[1001])
    name: str = Field(examples=["Ravi Iyer"])
    email: str = Field(examples=["ravi@college.edu"])
    roll_number: str = Field(examples=["21CS042"])
    branch: str | None = Field(examples=["CSE"])
    batch_year: int | None = Field(examples=[2027])
    tenth_percent: TwoPlaces | None
    twelfth_percent: TwoPlaces | None
    diploma_percent: TwoPlaces | None
    cgpa: TwoPlaces | None
    active_backlogs: Count


class Student(StudentRecord):
    department: str | None
    active: bool = Field(description="false: the account is deactivated")


class RowError(Document):
    """``column``: null if the error concerns the whole row."""

    line: Annotated[int, Field(ge=1, examples=[17])]
    column: str | None = Field(examples=["cgpa"])
    reason: str = Field(
        examples=["'9,1' is not a number with at most two decimals from 0 to 10: correct it, or clear the cell"]
    )


class ImportedColumn(Document):
    """How a column of the file is used. ``used_as``: null if it is not imported; then ``reason`` says why."""

    header: str = Field(examples=["UG %/CGPA"])
    used_as: str | None = Field(examples=["cgpa"])
    reason: str = Field(examples=["recognised by its header"])


class RecordFieldChange(Document):
    from_: Any = Field(alias="from", examples=["8.10"])
    to: Any = Field(examples=["9.00"])


class StudentChange(Document):
    """Changes of a student on record, by field. ``sheet``: the sheet of ``line``, if the file has several sheets."""

    line: Annotated[int, Field(ge=1, examples=[17])]
    student_id: int = Field(examples=[1001])
    changes: dict[str, RecordFieldChange]
    sheet: str | None = None


class ImportReport(Document):
    """``import_id``: null if nothing was written. ``errors``: at most 1,000; ``error_count`` counts all errors.

    ``new``, ``changed`` and ``unchanged`` count the valid rows: the student is not on record, the row differs from the
    record, or it does not. ``changes``: the first hundred. ``imported``: how many students were enrolled. ``updated``:
    how many records were changed. Both are 0 in a dry run. With the ``mode`` ``insert`` every student must be new.

    ``warnings``: sentences about valid but unlikely values, and about rows and columns that were left out.
    """

    import_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})] | None
    dry_run: bool
    mode: Literal["insert", "upsert"]
    rows: Count
    valid: Count
    new: Count
    changed: Count
    unchanged: Count
    imported: Count
    updated: Count
    changes: list[StudentChange]
    error_count: Count
    errors: list[RowError]
    columns: list[ImportedColumn]
    warnings: list[str]


TAKEN = "There is a student with the roll number 21CS042 already."
UNUSABLE = "The file has no column for roll_number. Its headers are: Name, Mail, CGPA."


class StudentRegistration(Document):
    """``attendance`` null: not marked."""

    registration_id: int = Field(examples=[5001])
    drive_id: int = Field(examples=[42])
    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])
    status: Status
    registered_at: Instant
    attendance: Literal["PRESENT", "ABSENT"] | None


NO_STUDENT = {404: "Student not found"}
REGISTRATIONS = documented(
    list[StudentRegistration], NO_STUDENT, description="The student's registrations, newest first."
)
ACCESSES = documented(list[Access], NO_STUDENT, description="Who was shown the student's record, newest first.")
ENROL = documented(Student, {409: TAKEN}, description="The student.", status_code=201)
LIST = documented(list[Student], description="A page of students, by id.")
GET = documented(Student, {404: "Student not found"}, description="The current record.")
REVISE = documented(Student, {404: "Student not found", 409: TAKEN}, description="The current record.")

OPTIONS: dict[str, dict[str, Any]] = {
    "mapping": {
        "type": "string",
        "description": 'JSON, column to header in the file: {"cgpa": "CPI"}; null for a column that the file lacks',
    },
    "header_row": {
        "type": "integer",
        "minimum": 1,
        "description": "line number of the header, if it is not recognised",
    },
    "sheet": {
        "type": "string",
        "description": "the sheet to read: its name, or its number among visible sheets; default: all visible sheets",
    },
    "mode": {
        "type": "string",
        "enum": ["insert", "upsert"],
        "default": "insert",
        "description": "insert: every student must be new; upsert: students on record are updated",
    },
}
FILE: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "CSV (UTF-8), XLSX, XLS or ODS"},
        **OPTIONS,
    },
}
IMPORT = documented(
    ImportReport,
    {
        409: "A student of this file was enrolled or corrected while it was being imported. Nothing was changed.",
        415: "Send the file as a form (multipart/form-data), or its bytes as text/csv.",
        422: UNUSABLE,
        **NO_SPACE,
    },
    description="The content of the file, and the changes that were made.",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": FILE, "encoding": {"file": {"contentType": "text/csv"}}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
    },
)
