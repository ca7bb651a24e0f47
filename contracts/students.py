"""Students and their marks. Producer: services/api. Corrections of names and roll numbers: ``contracts.users``."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.message import Event, Message

Percent = Annotated[Decimal, Field(ge=0, le=100, max_digits=5, decimal_places=2)]
Cgpa = Annotated[Decimal, Field(ge=0, le=10, max_digits=4, decimal_places=2)]
Backlogs = Annotated[int, Field(ge=0, le=1000)]
BatchYear = Annotated[int, Field(ge=1900, le=2200)]
Digest = Annotated[str, Field(pattern=r"^-?\d{1,19}$")]


class AcademicRecord(Message):
    """The marks that decide eligibility. CGPA is from 0 to 10, the others in percent; ``None``: not on record.

    ``diploma_percent`` counts as the 12th mark of a student who has no 12th mark.
    """

    branch: str | None = Field(default=None, max_length=100)
    batch_year: BatchYear | None = None
    tenth_percent: Percent | None = None
    twelfth_percent: Percent | None = None
    diploma_percent: Percent | None = None
    cgpa: Cgpa | None = None
    active_backlogs: Backlogs = 0


class StudentRange(Message):
    """Students with ids from ``first`` to ``last``, both included."""

    first: int = Field(ge=1)
    last: int = Field(ge=1)


class StudentEnrolled(Event):
    """A student was enrolled. The account may have no password yet.

    ``person_version``: the version of name, e-mail address and roll number, as in ``contracts.users``.
    """

    TYPE = "placewire.student.enrolled.v1"

    student_id: int
    person_version: int = Field(ge=1)
    department: str | None = None
    record: AcademicRecord


class StudentRecordRevised(Event):
    """A student's record was changed. ``record`` is the new one; ``changed``: the names of the fields that differ."""

    TYPE = "placewire.student.record-revised.v1"

    student_id: int
    record: AcademicRecord
    changed: list[str] = Field(min_length=1)


class StudentsImported(Event):
    """An import enrolled or revised ``count`` students. Their events name this one as cause and are not sent to Kafka.

    ``revised``: how many of them existed before; their events are StudentRecordRevised, UserDetailsRevised, or both.
    ``digest`` is ``bit_xor(hashint8extended(student_id, seed))`` over all students, as a decimal number. ``seed`` is 0
    for enrolled students and 1 for revised ones.
    """

    TYPE = "placewire.student.imported.v1"

    import_id: UUID
    count: int = Field(ge=1)
    digest: Digest
    revised: int = Field(default=0, ge=0)
