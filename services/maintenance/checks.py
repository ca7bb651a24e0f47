"""Handle the test job, which only records an answer. It shows that outbox, Kafka and worker work."""

from uuid import UUID

from chassis.jobs.job_handler import Outcome
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection
from contracts.checks import CheckAnswered, CheckFailed
from contracts.message import Event


async def answer(_connection: Connection, claimed: Claim) -> Outcome:
    event = CheckAnswered(check_id=check_id_of(claimed), job_id=claimed.id)
    return Outcome({"answered": True}, claimed.subject, [event])


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """Return the stream and the failure event of a test job."""
    return claimed.subject, CheckFailed(check_id=check_id_of(claimed), job_id=claimed.id, reason=reason)


def check_id_of(claimed: Claim) -> UUID:
    # The id comes from the subject, because the event may be unreadable.
    return UUID(claimed.subject.removeprefix("check-"))
