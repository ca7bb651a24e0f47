"""Afterwards: the ledger, the database, the files and the topics are held against each other. Nothing may differ."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer

from cli.replay.verification import Watching, verify
from contracts import topics
from tests.chaos.ledger import Ledger

Owner = asyncpg.Connection

JOBS = "SELECT id::text, kind, via, state, attempts, error FROM es.job"
# Of a job that answered an older version, or was answered by another's run, there is no event of its own.
RESULTS = """
SELECT j.id::text, j.kind, count(e.event_id) AS events,
       coalesce(j.result ? 'superseded' OR j.result ? 'absorbed_by', false) AS answered_by_another
  FROM es.job j LEFT JOIN es.event e ON e.metadata ->> 'causation_id' = j.id::text AND e.type = ANY ($1)
 GROUP BY j.id
"""
RESULT_TYPES = [
    "placewire.eligibility.evaluated.v1",
    "placewire.export.completed.v1",
    "placewire.refresh.refreshed.v1",
]
SELECTED = """
SELECT drive_id, array_agg(student_id) AS students FROM selections WHERE revoked_version IS NULL GROUP BY drive_id
"""
TOLD = """
SELECT entity_id, audience, coalesce(drive_version, 0), title, count(*) FROM notifications
 WHERE audience IN ('COORDINATOR', 'SELECTED') GROUP BY 1, 2, 3, 4
"""
EXPORTS = "SELECT export_id::text, state, path, sha256, size_bytes FROM exports"


@dataclass
class Findings:
    """What was promised and is not there, and what is there and was not asked for; each with its evidence."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    roads: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


async def audit(
    ledger: Ledger, owner: "Owner[asyncpg.Record]", database_url: str, bootstrap_servers: str, storage: Path,
    eligible: dict[str, list[int]],
) -> Findings:  # fmt: skip
    """Compare everything. The system must be healed and have nothing left to do."""
    found = Findings()
    found.wrong += [f"{command.kind} was never answered" for command in ledger.unanswered]
    found.wrong += [f"{command.kind} {command.path}: {command.status} {command.answer}" for command in ledger.refused]
    await _drives(ledger, owner, found)
    await _registrations(ledger, owner, found)
    await _jobs(ledger, owner, found)
    await _selections(ledger, owner, found, eligible)
    await _notifications(ledger, owner, found)
    await _files(ledger, owner, storage, found)
    await _topics(owner, bootstrap_servers, found)
    findings = await verify(database_url, Watching(began=lambda _: None, projected=lambda _: None), most=5)
    if findings.differences:
        found.wrong.append(f"verify: {findings}")
    return found


def _compare(found: Findings, what: str, promised: Counter[str], there: Counter[str]) -> None:
    found.lost += [f"{what} {name}" for name in promised - there]
    found.doubled += [f"{what} {name}" for name in there - promised]


async def _drives(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    created = ledger.accepted("create", "create and publish")
    posted = Counter(str(command.drive_id) for command in ledger.accepted("publish", "create and publish"))
    rows = await owner.fetch("SELECT drive_id::text, company_name, status FROM drives")
    named = Counter(f"{row['drive_id']} {row['company_name']}" for row in rows)
    _compare(found, "drive", Counter(f"{one.answer['drive_id']} {one.body['company_name']}" for one in created), named)
    _compare(found, "publication", posted, Counter(row["drive_id"] for row in rows if row["status"] == "posted"))


async def _registrations(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    promised = Counter(
        f"{one.answer['registration_id']} of {one.user_id} for drive {one.answer['drive_id']}"
        for one in ledger.accepted("register")
    )
    rows = await owner.fetch("SELECT registration_id, student_id, drive_id FROM registrations")
    there = Counter(f"{row['registration_id']} of {row['student_id']} for drive {row['drive_id']}" for row in rows)
    _compare(found, "registration", promised, there)


async def _jobs(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    jobs = {row["id"]: row for row in await owner.fetch(JOBS)}
    found.lost += [f"job {id_}" for id_ in ledger.job_ids - jobs.keys()]
    # The clock asks for refreshes too.
    unasked = [row for id_, row in jobs.items() if id_ not in ledger.job_ids and row["kind"] != "refresh"]
    found.doubled += [f"{row['kind']} job {row['id']}, which nobody asked for" for row in unasked]
    found.lost += [
        f"{row['kind']} job {row['id']} is {row['state']} ({row['error']})"
        for row in jobs.values()
        if row["state"] != "succeeded"
    ]
    found.roads.update((row["kind"], row["via"] or "none") for row in jobs.values())
    for row in await owner.fetch(RESULTS, RESULT_TYPES):
        expected = 0 if row["answered_by_another"] else 1
        if row["events"] != expected:
            into = found.lost if row["events"] < expected else found.doubled
            into.append(f"{row['kind']} job {row['id']} has {row['events']} results instead of {expected}")


async def _selections(
    ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings, eligible: dict[str, list[int]]
) -> None:
    min_cgpa = {one.answer["drive_id"]: one.body["min_cgpa"] for one in ledger.accepted("create", "create and publish")}
    there = {row["drive_id"]: row["students"] for row in await owner.fetch(SELECTED)}
    for row in await owner.fetch("SELECT drive_id FROM drives WHERE status = 'posted'"):
        expected, selected = eligible[min_cgpa[row["drive_id"]]], there.get(row["drive_id"], [])
        found.lost += [f"selection of {id_} for drive {row['drive_id']}" for id_ in set(expected) - set(selected)]
        if len(selected) > len(expected):
            found.doubled.append(f"drive {row['drive_id']} has {len(selected)} selections, not {len(expected)}")


async def _notifications(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    rows = await owner.fetch(TOLD)
    found.doubled += [f"notification {tuple(row)}" for row in rows if row["count"] > 1]
    told = Counter(str(row["entity_id"]) for row in rows if row["audience"] == "COORDINATOR")
    created = ledger.accepted("create", "create and publish")
    _compare(found, "notification of drive", Counter(str(one.answer["drive_id"]) for one in created), told)


async def _files(ledger: Ledger, owner: "Owner[asyncpg.Record]", storage: Path, found: Findings) -> None:
    rows = {row["export_id"]: row for row in await owner.fetch(EXPORTS)}
    promised = Counter(str(one.answer["export_id"]) for one in ledger.accepted("export"))
    _compare(found, "export", promised, Counter(rows.keys()))
    for row in rows.values():
        path = storage / (row["path"] or "none")
        if not path.is_file():
            found.lost.append(f"the file of export {row['export_id']} ({row['state']})")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
            found.wrong.append(f"the file of export {row['export_id']} has another hash")
    known = {row["path"] for row in rows.values()}
    found.doubled += [f"file {path}" for path in _stored(storage) if path not in known]


def _stored(storage: Path) -> list[str]:
    return [one.relative_to(storage).as_posix() for one in storage.rglob("*") if one.is_file()]


async def _topics(owner: "Owner[asyncpg.Record]", bootstrap_servers: str, found: Findings) -> None:
    """Each event is on its topic, and of each stream the first sight of every version comes in order."""
    seen = await _on_topics(bootstrap_servers)
    rows = await owner.fetch("SELECT event_id::text, stream_id, version FROM es.event")
    sent = [row for row in rows if not row["stream_id"].startswith("student-")]
    found.events = len(sent)
    for row in sent:
        if row["event_id"] not in seen[row["stream_id"]]:
            found.lost.append(f"{row['stream_id']} version {row['version']} on its topic")
    for stream, versions in seen.items():
        if list(versions.values()) != sorted(versions.values()):
            found.wrong.append(f"{stream} is out of order on its topic: {list(versions.values())}")


async def _on_topics(bootstrap_servers: str) -> dict[str, dict[str, int]]:
    """By stream: the version of each event id, in the order of their first sight."""
    names = sorted({topic.name for topic in topics.BY_STREAM_TYPE.values()})
    consumer = AIOKafkaConsumer(
        *names, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    seen: dict[str, dict[str, int]] = defaultdict(dict)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    headers = dict(record.headers)
                    version = json.loads(headers["ce_streamversion"])
                    seen[headers["ce_subject"].decode()].setdefault(headers["ce_id"].decode(), version)
    finally:
        await consumer.stop()
    return seen
