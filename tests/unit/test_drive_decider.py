"""The drive's rules, as given-when-then: fold the past, decide, compare."""

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


def after(*past: DriveEvent) -> Drive:
    return fold(past)


def refusal(past: tuple[DriveEvent, ...], command: Command) -> str:
    with pytest.raises(RuleViolation) as refused:
        decide(fold(past), command)
    return str(refused.value)


def test_a_new_drive_is_pending() -> None:
    assert decide(after(), CreateDrive(1, POSTING, 9)) == [CREATED]


def test_auto_publish_publishes_at_once_to_everyone_eligible() -> None:
    published = DrivePublished(drive_id=1, criteria=CRITERIA, published_by=9, auto_published=True)
    assert decide(after(), CreateDrive(1, POSTING, 9, auto_publish=True)) == [CREATED, published]


def test_publishing_takes_the_criteria_of_the_moment() -> None:
    stricter = POSTING.model_copy(update={"criteria": Criteria(min_cgpa=Decimal(8))})
    past = after(CREATED, DriveRevised(drive_id=1, posting=stricter, changed=["criteria"]))
    assert decide(past, PublishDrive(1, 8)) == [DrivePublished(drive_id=1, criteria=stricter.criteria, published_by=8)]


def test_publishing_again_is_a_fact_of_its_own() -> None:
    assert decide(after(CREATED, PUBLISHED), PublishDrive(1, 8, LIST)) == [LISTED]


@pytest.mark.parametrize("past", [(CREATED, PUBLISHED, STOPPED), (CREATED, PUBLISHED, STOPPED, FINISHED)])
@pytest.mark.parametrize("command", [PublishDrive(1, 8), RequestEligibility(1), ReviseDrive(1, {"job_title": "X"})])
def test_once_registrations_are_stopped_nothing_is_published_or_revised(past: Any, command: Command) -> None:
    assert "this drive is" in refusal(past, command)


def test_stopping_moves_a_posted_drive_on() -> None:
    assert decide(after(CREATED, PUBLISHED), StopRegistrations(1)) == [STOPPED]


def test_stopping_twice_is_one_fact() -> None:
    assert decide(after(CREATED, PUBLISHED, STOPPED), StopRegistrations(1)) == []


def test_a_pending_or_finished_drive_cannot_be_stopped() -> None:
    assert "pending" in refusal((CREATED,), StopRegistrations(1))
    assert "finished" in refusal((CREATED, PUBLISHED, STOPPED, FINISHED), StopRegistrations(1))


def test_new_criteria_of_a_posted_drive_ask_for_an_evaluation() -> None:
    revised = Criteria(min_cgpa=Decimal(7))
    [first, second] = decide(after(CREATED, PUBLISHED), ReviseDrive(1, {"criteria": {"min_cgpa": Decimal(7)}}))
    assert first == DriveRevised(
        drive_id=1, posting=POSTING.model_copy(update={"criteria": revised}), changed=["criteria"]
    )
    assert second == EligibilityRequested(drive_id=1, criteria=revised, posted=True)


def test_a_list_in_force_stays_in_force_when_criteria_change() -> None:
    [_, asked] = decide(after(CREATED, LISTED), ReviseDrive(1, {"criteria": {"min_cgpa": Decimal(7)}}))
    assert isinstance(asked, EligibilityRequested)
    assert asked.requested_version == 2


def test_publishing_without_a_list_ends_the_list_before() -> None:
    [asked] = decide(after(CREATED, LISTED, PUBLISHED), RequestEligibility(1))
    assert asked == EligibilityRequested(drive_id=1, criteria=CRITERIA, posted=True)


def test_a_pending_drive_is_only_counted() -> None:
    assert decide(after(CREATED), RequestEligibility(1)) == [
        EligibilityRequested(drive_id=1, criteria=CRITERIA, posted=False)
    ]


def test_another_title_asks_for_no_evaluation() -> None:
    [event] = decide(after(CREATED, PUBLISHED), ReviseDrive(1, {"job_title": "SRE"}))
    assert isinstance(event, DriveRevised)
    assert event.changed == ["job_title"]


def test_the_same_values_change_nothing() -> None:
    assert decide(after(CREATED), ReviseDrive(1, {"job_title": "SDE", "criteria": {"min_cgpa": Decimal("6.00")}})) == []


@pytest.mark.parametrize("past", [(CREATED,), (CREATED, PUBLISHED), (CREATED, PUBLISHED, STOPPED, FINISHED)])
def test_a_drive_can_be_deleted_in_any_state(past: tuple[DriveEvent, ...]) -> None:
    assert decide(fold(past), DeleteDrive(1)) == [DELETED]


def test_deleting_what_is_not_there_changes_nothing() -> None:
    assert decide(after(), DeleteDrive(1)) == []
    assert decide(after(CREATED, DELETED), DeleteDrive(1)) == []


@pytest.mark.parametrize("past", [(), (CREATED, DELETED)])
@pytest.mark.parametrize("command", [PublishDrive(1, 8), StopRegistrations(1), RequestEligibility(1)])
def test_a_drive_that_is_not_there_is_not_found(past: tuple[DriveEvent, ...], command: Command) -> None:
    with pytest.raises(NotFound):
        decide(fold(past), command)
