"""Compare the ledger, the database, the files and the topics after a run. Nothing may differ."""

from collections import Counter
from pathlib import Path

import asyncpg

from cli.replay.verification import ProgressCallbacks, verify
from tests.chaos.audit_files import audit_files
from tests.chaos.audit_jobs import audit_jobs
from tests.chaos.audit_topics import audit_topics
from tests.chaos.findings import Findings
from tests.chaos.ledger import Ledger
from tests.chaos.model import Model

Owner = asyncpg.Connection

PUBLICATIONS = ("publish", "create and publish")
# How many events of each type each drive and student has, without events that no client commanded.
RECORDED = """
SELECT stream_id || ': ' || type AS what, count(*)::integer FROM es.event
 WHERE stream_id LIKE 'drive-%' AND type <> 'placewire.drive.reevaluation-requested.v1'
    OR type = 'placewire.student.record-revised.v1'
 GROUP BY 1
"""
COMMANDED = {
    "create": ("created",),
    "create and publish": ("created", "published"),
    "publish": ("published",),
    "publish again": ("published",),
    "revise": ("revised", "eligibility-requested"),
    "evaluate": ("eligibility-requested",),
}
SELECTED = "SELECT drive_id, student_id FROM selections WHERE revoked_version IS NULL"
# The expected notifications, from the ledger of selections: which version of a drive selected or revoked students. A
# reevaluation notifies each student; an evaluation of all students sends one notification to all of them.
CHOSEN = """
SELECT DISTINCT c.drive_id, v.version, v.title,
       CASE e.type WHEN 'placewire.drive.reevaluation-requested.v1' THEN c.student_id END AS user_id
  FROM selections c
 CROSS JOIN LATERAL (VALUES (c.selected_version, 'New Drive Available'), (c.revoked_version, 'No Longer Selected'))
       AS v (version, title)
  JOIN es.event e ON e.stream_id = 'drive-' || c.drive_id AND e.version = v.version
"""
SENT = "SELECT entity_id AS drive_id, drive_version AS version, audience, title, user_id FROM notifications"


async def audit(
    ledger: Ledger, model: Model, owner: "Owner[asyncpg.Record]", database_url: str, bootstrap_servers: str,
    storage: Path,
) -> Findings:  # fmt: skip
    """Compare everything. All faults must have ended, and no job or outbox row may be left."""
    found = Findings()
    found.wrong += [f"{lost.kind} {lost.path}: {lost.tries} tries, no answer" for lost in ledger.unanswered]
    found.wrong += [f"{command.kind} {command.path}: {command.status} {command.answer}" for command in ledger.refused]
    await _drives(ledger, model, owner, found)
    await _recorded(ledger, owner, found)
    await _registrations(ledger, owner, found)
    await audit_jobs(ledger, owner, found)
    await _selections(model, owner, found)
    await _notifications(ledger, model, owner, found)
    await audit_files(ledger, owner, storage, found)
    await audit_topics(owner, bootstrap_servers, found)
    findings = await verify(database_url, ProgressCallbacks(began=lambda _: None, projected=lambda _: None), limit=5)
    if findings.differences:
        found.wrong.append(f"verify: {findings}")
    return found


async def _drives(ledger: Ledger, model: Model, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    created = ledger.accepted("create", "create and publish")
    posted = Counter(str(command.drive_id) for command in ledger.accepted(*PUBLICATIONS))
    rows = await owner.fetch("SELECT drive_id, company_name, status, coalesce(min_cgpa::text, '') AS bar FROM drives")
    named = Counter(f"{row['drive_id']} {row['company_name']}" for row in rows)
    found.compare("drive", Counter(f"{drive.drive_id} {drive.body['company_name']}" for drive in created), named)
    found.compare("publication", posted, Counter(str(row["drive_id"]) for row in rows if row["status"] == "posted"))
    bars = {row["drive_id"]: row["bar"] for row in rows}
    for drive_id, drive in model.drives.items():
        if (expected := f"{float(drive.min_cgpa):.2f}" if drive.min_cgpa else "") != bars.get(drive_id):
            found.wrong.append(f"drive {drive_id} asks for {bars.get(drive_id)!r}, not {expected!r}")


async def _recorded(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    """Check that the log has every accepted command exactly once."""
    commanded = Counter(
        f"drive-{command.drive_id}: placewire.drive.{event}.v1"
        for kind, events in COMMANDED.items()
        for command in ledger.accepted(kind)
        for event in events
    )
    commanded += Counter(
        f"student-{command.student_id}: placewire.student.record-revised.v1" for command in ledger.accepted("marks")
    )
    found.compare("event of", commanded, Counter({row["what"]: row["count"] for row in await owner.fetch(RECORDED)}))


async def _registrations(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    expected = Counter(
        f"{command.answer['registration_id']} of {command.user_id} for drive {command.answer['drive_id']}"
        for command in ledger.accepted("register")
    )
    rows = await owner.fetch("SELECT registration_id, student_id, drive_id FROM registrations")
    actual = Counter(f"{row['registration_id']} of {row['student_id']} for drive {row['drive_id']}" for row in rows)
    found.compare("registration", expected, actual)


async def _selections(model: Model, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    """Check that marks and selections follow from the last criteria, the last list and the last marks."""
    for row in await owner.fetch("SELECT student_id, cgpa FROM students"):
        if row["cgpa"] != (mark := model.marks[row["student_id"]]):
            found.wrong.append(f"student {row['student_id']} has {row['cgpa']}, not {mark}")
    expected = Counter(
        f"of student {student_id} for drive {drive_id}"
        for drive_id, drive in model.drives.items()
        if drive.posted
        for student_id in model.selected(drive_id)
    )
    rows = await owner.fetch(SELECTED)
    actual = Counter(f"of student {row['student_id']} for drive {row['drive_id']}" for row in rows)
    found.compare("selection", expected, actual)


async def _notifications(ledger: Ledger, model: Model, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    """Check that there is one notification of each drive, of each publication and of each change of selections."""
    expected = Counter(
        f"COORDINATOR of drive {command.drive_id}" for command in ledger.accepted("create", "create and publish")
    )
    published = ledger.accepted(*PUBLICATIONS, "publish again")
    expected += Counter(f"STAFF of drive {command.drive_id}" for command in published)
    expected += Counter(_of_version(row) for row in await owner.fetch(CHOSEN))
    rows = await owner.fetch(SENT)
    of_drives = [f"{row['audience']} of drive {row['drive_id']}" for row in rows if row["version"] is None]
    of_versions = [row for row in rows if row["version"] is not None]
    found.compare("notification", expected, Counter([*of_drives, *map(_of_version, of_versions)]))
    # The selections of a steady drive never change, so it notifies once.
    steady = {id_ for id_, drive in model.drives.items() if drive.posted and not drive.contested}
    once = Counter(f"of steady drive {id_}" for id_ in steady if model.selected(id_))
    actual = Counter(f"of steady drive {row['drive_id']}" for row in of_versions if row["drive_id"] in steady)
    found.compare("notification of students", once, actual)


def _of_version(row: asyncpg.Record) -> str:
    return f"{row['title']!r} of drive {row['drive_id']} version {row['version']}, to {row['user_id'] or 'all of them'}"
