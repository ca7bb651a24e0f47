"""The response of the sub-filter."""

from pydantic import Field

from services.api.http.openapi import Count, Document, TwoPlaces, documented


class FilteredStudent(Document):
    user_id: int = Field(examples=[1001])
    name: str = Field(examples=["Ravi Iyer"])
    email: str = Field(examples=["ravi@college.edu"])
    department: str | None
    roll_number: str = Field(examples=["21CS042"])
    branch: str | None = Field(examples=["CSE"])
    cgpa: TwoPlaces | None
    active_backlogs: Count


class FilteredStudents(Document):
    """``total`` and ``unique_branches`` cover all eligible students, the other fields those who pass the filter."""

    total: Count
    filtered_count: Count
    students: list[FilteredStudent]
    unique_branches: list[str] = Field(examples=[["CSE", "ECE"]])


APPLY = documented(
    FilteredStudents, {404: "Drive not found"}, description="The students who pass the filter, highest CGPA first."
)
