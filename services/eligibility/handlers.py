"""Work out who is selected for a drive. Called by the runner, whichever road the event took."""

from dataclasses import dataclass

from chassis.database import Connection
from chassis.jobs import Claim
from chassis.work import Outcome
from contracts.drives import Criteria, DrivePublished, EligibilityRequested
from contracts.eligibility import EligibilityEvaluated, EligibilityFailed
from contracts.message import Event
from services.eligibility import sql

SUPERSEDED = Outcome({"superseded": True})


@dataclass(frozen=True, slots=True)
class Request:
    """What an event asks for. ``list_version``: the drive version of the coordinator's list, ``None`` for everyone."""

    drive_id: int
    criteria: Criteria
    apply: bool
    list_version: int | None


def request_of(event: Event, version: int) -> Request:
    """Raises ``TypeError`` for an event that asks for no evaluation."""
    match event:
        case DrivePublished():
            return Request(event.drive_id, event.criteria, True, version if event.requested else None)
        case EligibilityRequested():
            return Request(event.drive_id, event.criteria, event.posted, event.requested_version)
        case _:
            raise TypeError(f"{event.TYPE} asks for no evaluation")


async def evaluate(connection: Connection, claimed: Claim) -> Outcome:
    """Bring the drive's selections in line with the event, in the caller's transaction.

    An event older than the last one answered, or of a drive that was deleted, changes nothing: newer wins.
    Runs of one drive wait for each other; a reader sees the set before or the set after, never one in between.
    """
    version = claimed.stream_version
    request = request_of(claimed.event, version)
    await sql.lock_evaluation(connection, request.drive_id)
    if not await sql.is_newest(connection, request.drive_id, version):
        return SUPERSEDED
    done = await (sql.select_anew if request.apply else sql.count_only)(
        connection, request.drive_id, version, request.criteria, request.list_version
    )
    event = EligibilityEvaluated(
        drive_id=request.drive_id,
        drive_version=version,
        job_id=claimed.id,
        applied=request.apply,
        eligible=done.eligible,
        selected=done.selected,
        added=done.added,
        revoked=done.revoked,
        unchanged=done.selected.count - done.added.count,
        snapshot=done.snapshot,
    )
    result = {
        "drive_id": request.drive_id,
        "drive_version": version,
        "eligible": event.eligible,
        "selected": event.selected.count,
        "newly_selected": event.added.count,
        "no_longer_selected": event.revoked.count,
        "unchanged": event.unchanged,
    }
    return Outcome(result, f"eligibility-{request.drive_id}", [event])


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """What is recorded when the evaluation is given up."""
    # Not from the event: that it cannot be read may be the reason.
    drive_id = int(claimed.subject.removeprefix("drive-"))
    event = EligibilityFailed(drive_id=drive_id, drive_version=claimed.stream_version, job_id=claimed.id, reason=reason)
    return f"eligibility-{drive_id}", event
