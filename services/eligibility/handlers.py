"""Evaluate who is selected for a drive. The worker calls these handlers for every delivery channel."""

from dataclasses import dataclass

from chassis.jobs.job_handler import SUPERSEDED, Outcome
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection
from contracts.drives import Criteria, DrivePublished, EligibilityRequested, ReevaluationRequested
from contracts.eligibility import EligibilityEvaluated, EligibilityFailed
from contracts.message import Event
from contracts.students import StudentRange
from services.eligibility import range_sql, sql
from services.eligibility.sql import Evaluated

NOTHING_TO_DO = Outcome(SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Request:
    """The evaluation that an event requests. ``list_version``: the version with the list; ``None`` for no list."""

    drive_id: int
    criteria: Criteria
    apply: bool
    list_version: int | None


def request_of(event: Event, version: int) -> Request:
    """Return the request in ``event``. Raises ``TypeError`` for an event that requests no evaluation."""
    match event:
        case DrivePublished():
            return Request(event.drive_id, event.criteria, True, version if event.requested else None)
        case EligibilityRequested():
            return Request(event.drive_id, event.criteria, event.posted, event.requested_version)
        case _:
            raise TypeError(f"{event.TYPE} requests no evaluation")


async def evaluate(connection: Connection, claimed: Claim) -> Outcome:
    """Apply the event to the drive's selections, in the caller's transaction.

    An event changes nothing if it is older than the last evaluated event, or if its drive is deleted.
    Evaluations of one drive wait for each other. Readers see the old set or the new set, never a mixture.

    The selections are always based on one version of the drive: ``evaluations.drive_version``, which the last
    evaluation of all students used. A reevaluation applies newer marks to that version. It does not change
    ``drive_version``, so that no later evaluation is skipped. A reevaluation is superseded if a later version has been
    evaluated, because that evaluation saw the newer marks. It is also superseded if no version has been evaluated yet,
    because the first evaluation will see them.
    """
    event, version = claimed.event, claimed.stream_version
    if isinstance(event, ReevaluationRequested):
        return await _reevaluate(connection, claimed, event)
    request = request_of(event, version)
    state = await sql.begin(connection, request.drive_id, version)
    if not state.newest:
        return NOTHING_TO_DO
    if request.apply:
        evaluated = await sql.replace_selections(
            connection, request.drive_id, version, request.criteria, request.list_version, state
        )
    else:
        evaluated = await sql.count_only(connection, request.drive_id, version, request.criteria)
    return _outcome(claimed, request, evaluated)


async def _reevaluate(connection: Connection, claimed: Claim, event: ReevaluationRequested) -> Outcome:
    await sql.lock_evaluation(connection, event.drive_id)
    basis = await range_sql.basis(connection, event.drive_id, claimed.stream_version)
    if basis is None:
        return NOTHING_TO_DO
    request = request_of(basis.event, basis.version)
    evaluated = await range_sql.reevaluate_range(
        connection, event.drive_id, claimed.stream_version, request.criteria, request.list_version, event.students
    )
    return _outcome(claimed, request, evaluated, event.students, basis.version)


def _outcome(
    claimed: Claim,
    request: Request,
    evaluated: Evaluated,
    students: StudentRange | None = None,
    judged_by: int | None = None,
) -> Outcome:
    event = EligibilityEvaluated(
        drive_id=request.drive_id,
        drive_version=claimed.stream_version,
        job_id=claimed.id,
        applied=request.apply,
        eligible=evaluated.eligible,
        selected=evaluated.selected,
        added=evaluated.added,
        revoked=evaluated.revoked,
        unchanged=evaluated.selected.count - evaluated.added.count,
        snapshot=evaluated.snapshot,
        students=students,
        judged_by=judged_by,
        registered_no_longer_eligible=evaluated.registered,
    )
    result = {
        "drive_id": event.drive_id,
        "drive_version": event.drive_version,
        "eligible": event.eligible,
        "selected": event.selected.count,
        "newly_selected": event.added.count,
        "no_longer_selected": event.revoked.count,
        "registered_no_longer_eligible": event.registered_no_longer_eligible,
        "unchanged": event.unchanged,
    }
    return Outcome(result, f"eligibility-{event.drive_id}", [event])


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """Return the stream and the failure event of an evaluation."""
    # The id comes from the subject, because the event may be unreadable.
    drive_id = int(claimed.subject.removeprefix("drive-"))
    event = EligibilityFailed(drive_id=drive_id, drive_version=claimed.stream_version, job_id=claimed.id, reason=reason)
    return f"eligibility-{drive_id}", event
