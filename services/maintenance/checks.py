"""Answers the job that does nothing. It went through outbox, bus and runner, and what it wrote is two small events."""

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
    """What is recorded when even this is given up."""
    return claimed.subject, CheckFailed(check_id=check_id_of(claimed), job_id=claimed.id, reason=reason)


def check_id_of(claimed: Claim) -> UUID:
    # Not from the event: that it cannot be read may be the reason.
    return UUID(claimed.subject.removeprefix("check-"))
