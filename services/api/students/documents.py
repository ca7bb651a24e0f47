"""What the routes of students answer."""

from typing import Annotated, Any

from pydantic import Field

from services.api.documents import NO_ROOM, Count, Document, TwoPlaces, documented


class Student(Document):
    """A mark that is not on record is null."""

    student_id: int = Field(examples=[1001])
    name: str = Field(examples=["Ravi Iyer"])
    email: str = Field(examples=["ravi@college.edu"])
    department: str | None
    roll_number: str = Field(examples=["21CS042"])
    branch: str | None = Field(examples=["CSE"])
    batch_year: int | None = Field(examples=[2027])
    tenth_percent: TwoPlaces | None
    twelfth_percent: TwoPlaces | None
    cgpa: TwoPlaces | None
    active_backlogs: Count


class RowError(Document):
    """``column`` null: the row as a whole."""

    line: Annotated[int, Field(ge=1, examples=[17])]
    column: str | None = Field(examples=["cgpa"])
    reason: str = Field(examples=["'9,1' is not a number with at most two decimals from 0 to 10"])


class ImportReport(Document):
    """``import_id`` null: a dry run. At most 1,000 ``errors`` are listed; ``error_count`` counts them all."""

    import_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})] | None
    dry_run: bool
    rows: Count
    valid: Count
    imported: Count
    error_count: Count
    errors: list[RowError]


TAKEN = "There is a student with the roll number 21CS042 already."
UNUSABLE = "The file has no column for roll_number. Its headers are: Name, Mail, CGPA."

ENROL = documented(Student, {409: TAKEN}, says="The student.", status_code=201)
LIST = documented(list[Student], says="A page of students, by id.")
REVISE = documented(Student, {404: "Student not found", 409: TAKEN}, says="The record as it stands.")

FILE: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "CSV (UTF-8) or XLSX"},
        "mapping": {"type": "string", "description": 'JSON: {"our column": "their header"}'},
    },
}
IMPORT = documented(
    ImportReport,
    {
        409: "A student of this file was enrolled while it was being imported. Nothing was changed.",
        415: "Send the file as a form (multipart/form-data), or its bytes as text/csv.",
        422: UNUSABLE,
        **NO_ROOM,
    },
    says="What is in the file, and what was done with it.",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": FILE, "encoding": {"file": {"contentType": "text/csv"}}},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
)
