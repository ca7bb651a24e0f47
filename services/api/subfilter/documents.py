"""What the sub-filter answers."""

from pydantic import Field

from services.api.documents import Count, Document, TwoPlaces, documented


class SiftedStudent(Document):
    user_id: int = Field(examples=[1001])
    name: str = Field(examples=["Ravi Iyer"])
    email: str = Field(examples=["ravi@college.edu"])
    department: str | None
    roll_number: str = Field(examples=["21CS042"])
    branch: str | None = Field(examples=["CSE"])
    cgpa: TwoPlaces | None
    active_backlogs: Count


class Sifted(Document):
    """``total`` and ``unique_branches`` are of everyone eligible, the others of those who are left."""

    total: Count
    filtered_count: Count
    students: list[SiftedStudent]
    unique_branches: list[str] = Field(examples=[["CSE", "ECE"]])


APPLY = documented(Sifted, {404: "Drive not found"}, says="Who is left, the best first.")
