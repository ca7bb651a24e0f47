"""The rules of a drive: each test folds past events, decides on a command and compares the new events."""

from decimal import Decimal
from typing import Any

import pytest

from chassis.errors import NotFound, RuleViolation
from contracts.drives import (
    AttendancePublished,
    Criteria,
    DriveCreated,
    DriveDeleted,
    DriveEvent,
    DrivePublished,
    DriveRevised,
    EligibilityRequested,
    Posting,
    RegistrationsStopped,
    Requested,
)
from services.api.drives.decider import (
    Command,
    CreateDrive,
    DeleteDrive,
    Drive,
    PublishDrive,
    RequestEligibility,
    ReviseDrive,
    StopRegistrations,
    decide,
    fold,
)

CRITERIA = Criteria(min_cgpa=Decimal(6))
POSTING = Posting(company_name="Acme", job_title="SDE", criteria=CRITERIA)
CREATED = DriveCreated(drive_id=1, posting=POSTING, posted_by=9)
PUBLISHED = DrivePublished(drive_id=1, criteria=CRITERIA, published_by=8)
LIST = Requested(count=2, digest="5")
LISTED = DrivePublished(drive_id=1, criteria=CRITERIA, published_by=8, requested=LIST)
STOPPED = RegistrationsStopped(drive_id=1)
FINISHED = AttendancePublished(drive_id=1, registered=2, present=1, absent=1)
DELETED = DriveDeleted(drive_id=1, registered=0)


def after(*history: DriveEvent) -> Drive:
    return fold(history)


def refusal(history: tuple[DriveEvent, ...], command: Command) -> str:
    with pytest.raises(RuleViolation) as refused:
        decide(fold(history), command)
    return str(refused.value)


def test_a_new_drive_is_pending() -> None:
    assert decide(after(), CreateDrive(1, POSTING, 9)) == [CREATED]


def test_auto_publish_publishes_to_all_eligible_students() -> None:
    published = DrivePublished(drive_id=1, criteria=CRITERIA, published_by=9, auto_published=True)
    assert decide(after(), CreateDrive(1, POSTING, 9, auto_publish=True)) == [CREATED, published]


def test_publishing_records_the_current_criteria() -> None:
    stricter = POSTING.model_copy(update={"criteria": Criteria(min_cgpa=Decimal(8))})
    drive = after(CREATED, DriveRevised(drive_id=1, posting=stricter, changed=["criteria"]))
    assert decide(drive, PublishDrive(1, 8)) == [DrivePublished(drive_id=1, criteria=stricter.criteria, published_by=8)]


def test_publishing_again_is_another_event() -> None:
    assert decide(after(CREATED, PUBLISHED), PublishDrive(1, 8, LIST)) == [LISTED]


@pytest.mark.parametrize("history", [(CREATED, PUBLISHED, STOPPED), (CREATED, PUBLISHED, STOPPED, FINISHED)])
@pytest.mark.parametrize("command", [PublishDrive(1, 8), RequestEligibility(1), ReviseDrive(1, {"job_title": "X"})])
def test_a_drive_cannot_be_published_or_revised_after_registrations_stopped(history: Any, command: Command) -> None:
    assert "this drive is" in refusal(history, command)


def test_registrations_of_a_posted_drive_can_be_stopped() -> None:
    assert decide(after(CREATED, PUBLISHED), StopRegistrations(1)) == [STOPPED]


def test_stopping_twice_is_one_event() -> None:
    assert decide(after(CREATED, PUBLISHED, STOPPED), StopRegistrations(1)) == []


def test_registrations_of_a_pending_or_finished_drive_cannot_be_stopped() -> None:
    assert "pending" in refusal((CREATED,), StopRegistrations(1))
    assert "finished" in refusal((CREATED, PUBLISHED, STOPPED, FINISHED), StopRegistrations(1))


def test_new_criteria_of_a_posted_drive_request_an_evaluation() -> None:
    revised = Criteria(min_cgpa=Decimal(7))
    [first, second] = decide(after(CREATED, PUBLISHED), ReviseDrive(1, {"criteria": {"min_cgpa": Decimal(7)}}))
    assert first == DriveRevised(
        drive_id=1, posting=POSTING.model_copy(update={"criteria": revised}), changed=["criteria"]
    )
    assert second == EligibilityRequested(drive_id=1, criteria=revised, posted=True)


def test_the_requested_list_stays_in_force_when_criteria_change() -> None:
    [_, request] = decide(after(CREATED, LISTED), ReviseDrive(1, {"criteria": {"min_cgpa": Decimal(7)}}))
    assert isinstance(request, EligibilityRequested)
    assert request.requested_version == 2


def test_publishing_without_a_list_ends_the_former_list() -> None:
    [request] = decide(after(CREATED, LISTED, PUBLISHED), RequestEligibility(1))
    assert request == EligibilityRequested(drive_id=1, criteria=CRITERIA, posted=True)


def test_an_evaluation_of_a_pending_drive_is_not_marked_as_posted() -> None:
    assert decide(after(CREATED), RequestEligibility(1)) == [
        EligibilityRequested(drive_id=1, criteria=CRITERIA, posted=False)
    ]


def test_a_new_title_requests_no_evaluation() -> None:
    [event] = decide(after(CREATED, PUBLISHED), ReviseDrive(1, {"job_title": "SRE"}))
    assert isinstance(event, DriveRevised)
    assert event.changed == ["job_title"]


def test_the_same_values_change_nothing() -> None:
    assert decide(after(CREATED), ReviseDrive(1, {"job_title": "SDE", "criteria": {"min_cgpa": Decimal("6.00")}})) == []


@pytest.mark.parametrize("history", [(CREATED,), (CREATED, PUBLISHED), (CREATED, PUBLISHED, STOPPED, FINISHED)])
def test_a_drive_can_be_deleted_in_any_state(history: tuple[DriveEvent, ...]) -> None:
    assert decide(fold(history), DeleteDrive(1)) == [DELETED]


def test_deleting_an_unknown_or_deleted_drive_changes_nothing() -> None:
    assert decide(after(), DeleteDrive(1)) == []
    assert decide(after(CREATED, DELETED), DeleteDrive(1)) == []


@pytest.mark.parametrize("history", [(), (CREATED, DELETED)])
@pytest.mark.parametrize("command", [PublishDrive(1, 8), StopRegistrations(1), RequestEligibility(1)])
def test_a_command_on_an_unknown_or_deleted_drive_is_not_found(
    history: tuple[DriveEvent, ...], command: Command
) -> None:
    with pytest.raises(NotFound):
        decide(fold(history), command)
