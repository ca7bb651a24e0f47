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

    ``selected`` is the whole set afterwards, ``added`` and ``revoked`` the difference to before. When the drive
    was not posted (``applied`` false) nothing was selected and only ``eligible`` is new.
    ``snapshot`` is the ``es.log_snapshot()`` the marks were read with, so the decision can be explained later.

    ``students``: only these were evaluated (a ReevaluationRequested), by the criteria and the list of version
    ``judged_by``; ``None``: everyone, by those of ``drive_version``. ``registered_no_longer_eligible``: how many of the
    revoked had registered, and do not meet the criteria any more; they stay registered.
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
    """The evaluation failed for good: its job is a dead letter. ``reason`` is shown to people."""

    TYPE = "placewire.eligibility.failed.v1"

    drive_id: int
    drive_version: int = Field(ge=1)
    job_id: UUID
    reason: str
