"""Who was selected for a drive. Producer and owner: services/eligibility."""

from uuid import UUID

from pydantic import Field

from contracts.message import Event, Message
from contracts.students import Digest, StudentRange


class SetChecksum(Message):
    """A set of students in ``selections``: its count, and ``bit_xor(hashint8extended(student_id, drive_id))``."""

    count: int = Field(ge=0)
    digest: Digest = "0"


class EligibilityEvaluated(Event):
    """The result of the evaluation that version ``drive_version`` of the drive's stream requested.

    ``selected`` is the whole set after the evaluation. ``added`` and ``revoked`` are the difference to the set before.
    ``applied`` is false if the drive was not posted: then no student was selected, and only ``eligible`` is new.
    ``snapshot`` is the ``es.log_snapshot()`` with which the marks were read. It allows to explain the decision later.

    ``students``: the students that a ReevaluationRequested named. They were evaluated by the criteria and the list of
    version ``judged_by``. ``None``: all students were evaluated, by the criteria and the list of ``drive_version``.
    ``registered_no_longer_eligible``: the number of revoked students who had registered and no longer meet the
    criteria. They stay registered.
    """

    TYPE = "placewire.eligibility.evaluated.v1"

    drive_id: int
    drive_version: int = Field(ge=1)
    job_id: UUID
    applied: bool
    eligible: int = Field(ge=0)
    selected: SetChecksum
    added: SetChecksum
    revoked: SetChecksum
    unchanged: int = Field(ge=0)
    snapshot: str
    students: StudentRange | None = None
    judged_by: int | None = None
    registered_no_longer_eligible: int = Field(default=0, ge=0)


class EligibilityFailed(Event):
    """The evaluation failed for good: its job is a dead letter. ``reason`` is shown to users."""

    TYPE = "placewire.eligibility.failed.v1"

    drive_id: int
    drive_version: int = Field(ge=1)
    job_id: UUID
    reason: str
