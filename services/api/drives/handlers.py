"""One function per command: load, decide, append. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from chassis.errors import Conflict, Invalid
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Appended, Cause, NewId
from chassis.postgres.database import Connection
from contracts.drives import DriveEvent, DrivePublished, EligibilityRequested, Posting
from services.api.domains import sql as domains
from services.api.drives import sql
from services.api.drives.decider import (
    Command,
    CreateDrive,
    DeleteDrive,
    Drive,
    PublishAttendance,
    PublishDrive,
    ReviseDrive,
    StopRegistrations,
    decide,
    fold,
)
from services.api.drives.publication import SelectedStudents
from services.api.http.polled_lists import notify_changed

SHOWN_IDS = 10

RecordedEvents = tuple[Sequence[DriveEvent], Appended | None]


async def create(
    connection: Connection, posting: Posting, posted_by: int, *, auto_publish: bool, cause: Cause, new_id: NewId
) -> tuple[int, RecordedEvents]:
    """Create a drive. Return its id and its events. Raises ``Invalid`` for an unknown job domain."""
    await _require_domain(connection, posting.domain_id)
    drive_id = await sql.next_id(connection)
    if auto_publish:
        await sql.lock_criteria(connection)
    events = decide(Drive(), CreateDrive(drive_id, posting, posted_by, auto_publish))
    return drive_id, (events, await _append(connection, drive_id, 0, events, cause, new_id))


async def handle(connection: Connection, command: Command, cause: Cause, new_id: NewId) -> RecordedEvents:
    """Execute ``command`` and return its events. There are none if the command changes nothing.

    Raises what ``decide`` raises, and ``Conflict`` when another command changed the drive first.
    """
    # The lock order is that of an evaluation. So no transaction blocks registrations while it waits for an evaluation.
    if isinstance(command, DeleteDrive):
        await sql.lock_evaluation(connection, command.drive_id)
    if isinstance(command, StopRegistrations | PublishAttendance | DeleteDrive):
        await sql.lock_registrations(connection, command.drive_id)
    drive = await _load(connection, command.drive_id)
    if isinstance(command, DeleteDrive):
        command = replace(command, registered=await sql.count_registered(connection, command.drive_id))
    if isinstance(command, ReviseDrive):
        await _require_domain(connection, command.changes.get("domain_id"))
    events = decide(drive, command)
    return events, await _append(connection, command.drive_id, drive.version, events, cause, new_id)


async def publish_listed(
    connection: Connection, drive_id: int, published_by: int, selected: SelectedStudents, cause: Cause, new_id: NewId
) -> RecordedEvents:
    """Publish the drive to exactly these students. Raises ``Invalid`` that names ineligible students."""
    drive = await _load(connection, drive_id)
    decide(drive, PublishDrive(drive_id, published_by))  # refuse an impossible command before checking the list
    count, first = await sql.not_eligible(connection, drive_id, selected.array, shown=SHOWN_IDS)
    if count:
        shown = ", ".join(str(id_) for id_ in first)
        raise Invalid(
            f"{count} of the selected students are not eligible for this drive: {shown}"
            f"{' and more' if count > SHOWN_IDS else ''}",
            errors=[{"student_id": id_} for id_ in first],
        )
    try:
        requested = await sql.keep_list(connection, drive_id, drive.version + 1, selected.array)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"drive {drive_id} already has a list of version {drive.version + 1}") from error
    events = decide(drive, PublishDrive(drive_id, published_by, requested))
    return events, await _append(connection, drive_id, drive.version, events, cause, new_id)


async def _load(connection: Connection, drive_id: int) -> Drive:
    await sql.lock_criteria(connection)
    return fold(recorded.event for recorded in await event_store.read(connection, f"drive-{drive_id}"))


async def _append(
    connection: Connection, drive_id: int, version: int, events: Sequence[DriveEvent], cause: Cause, new_id: NewId
) -> Appended | None:
    if not events:
        return None
    appended = await event_store.append(
        connection, f"drive-{drive_id}", events, cause, expected_version=version, new_id=new_id
    )
    await notify_changed(connection)
    return appended


async def _require_domain(connection: Connection, domain_id: int | None) -> None:
    if domain_id is not None and not await domains.exists(connection, domain_id):
        raise Invalid("There is no such job domain.", status=400)


async def warnings_about(connection: Connection, branches: list[str]) -> list[str]:
    """Return a sentence for each of a drive's ``branches`` that no student has."""
    missing = await sql.branches_without_students(connection, branches) if branches else []
    return [f"No student has the branch {branch}, so it makes no student eligible." for branch in missing]


def job_of(recorded: RecordedEvents) -> UUID | None:
    """Return the id of the job, which is also the id of the event that requests it. ``None``: no job was requested."""
    events, appended = recorded
    if appended is None:
        return None
    for event, id_ in zip(events, appended.ids, strict=True):
        if isinstance(event, DrivePublished | EligibilityRequested):
            return id_
    return None
