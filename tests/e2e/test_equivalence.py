"""The same history of commands with the bus up, away, and cut in the middle: the same answers, the same final state."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from devstack.kafka import Kafka
from tests.conftest import migrated_copy
from tests.support.bulk_students import enrol
from tests.support.database_clones import Copies
from tests.support.eventually import eventually
from tests.support.histories import Step, crowded, history, request
from tests.support.sizes import sized
from tests.support.system import NO_KAFKA, System, running

HISTORIES = sized(small=1, full=20)
COMMANDS = sized(small=20, full=60)
STUDENTS = 30
PROCESSES = ("eligibility", "exporter", "maintenance", "relay", "api")

# Everything but identifiers and times: drives go by their company, people by their address.
STATE = {
    "drives": """
        SELECT company_name, job_title, version, status, min_cgpa, min_10th, min_12th, max_backlogs, branches,
               batch_years, auto_published, attendance_published FROM drives""",
    "students": "SELECT roll_number, branch, batch_year, cgpa, tenth_percent, active_backlogs FROM students",
    "evaluations": """
        SELECT d.company_name, e.drive_version, e.applied, e.eligible, e.selected
          FROM evaluations e JOIN drives d USING (drive_id)""",
    "selections": """
        SELECT d.company_name, s.roll_number, c.selected_version, c.revoked_version
          FROM selections c JOIN drives d USING (drive_id) JOIN students s USING (student_id)""",
    "registrations": """
        SELECT d.company_name, s.roll_number
          FROM registrations JOIN drives d USING (drive_id) JOIN students s USING (student_id)""",
    "attendance": """
        SELECT d.company_name, s.roll_number, a.status
          FROM attendance a JOIN drives d USING (drive_id) JOIN students s USING (student_id)""",
    "finished_drives": "SELECT company_name, total_registered, total_present, total_absent FROM finished_drives",
    "notifications": """
        SELECT d.company_name, n.audience, n.drive_version, n.title, n.message, n.type
          FROM notifications n LEFT JOIN drives d ON d.drive_id = n.entity_id""",
    "exports": "SELECT kind, format, columns, state, rows, sha256 FROM exports",
    "jobs": "SELECT kind, state, dead, error FROM es.job WHERE kind <> 'refresh'",
    "events": """
        SELECT n.data #>> '{posting,company_name}' AS company_name, split_part(e.stream_id, '-', 1) AS stream,
               e.type, e.version
          FROM es.event e LEFT JOIN es.event n
            ON n.type = 'placewire.drive.created.v1' AND n.stream_id = replace(e.stream_id, 'eligibility-', 'drive-')
         WHERE e.stream_id NOT LIKE 'refresh-%'""",
}
# What is left of a row about a drive whose jobs overtook each other: what it came to, and not by which steps.
CAME_TO: dict[str, Callable[[asyncpg.Record], tuple[Any, ...] | None]] = {
    "evaluations": lambda row: (row["company_name"], row["drive_version"], row["applied"], row["selected"]),
    "selections": lambda row: None if row["revoked_version"] else (row["company_name"], row["roll_number"]),
    "notifications": lambda row: None if row["drive_version"] else tuple(row),
    "events": lambda row: None if row["stream"] == "eligibility" else tuple(row),
}
JOBS = "SELECT id::text, kind, state, result, error FROM es.job"
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
# Channels of the jobs that the history requested. Maintenance wakes its own worker for the requests of its clock.
# A job that another one ended has the channel of no worker.
CHANNELS = """
SELECT DISTINCT j.channel
  FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE coalesce(e.data ->> 'cause', 'request') = 'request' AND NOT coalesce(j.result ? 'absorbed_by', false)
   AND j.channel IS NOT NULL"""
# Of an answer: which the systems number for themselves, and when it was.
IDENTIFIERS = {"id", "drive_id", "registration_id", "attendance_id", "export_id", "refresh_id", "job_id"}
TIMES = {"as_of", "snapshot", "file", "file_name", "interview_date"}
# What woke the worker, and how far the job had come by the time of the answer.
ON_ITS_WAY = {"channel", "delivery", "state", "result"}


def normalised(body: Any) -> Any:
    """``body`` without identifiers and times; of its job only whether there is one, and its error."""
    if isinstance(body, list):
        return [normalised(part) for part in body]
    if not isinstance(body, dict):
        return body
    kept = {
        key: normalised({name: part for name, part in value.items() if name not in ON_ITS_WAY})
        if key == "job"
        else normalised(value)
        for key, value in body.items()
    }
    return {key: value for key, value in kept.items() if key not in IDENTIFIERS | TIMES and not key.endswith("_at")}


@dataclass
class Asked:
    """An answered step: the company of its drive, the response, and the id and result of its job, if any."""

    company: str
    kind: str
    status: int
    body: Any
    job_id: str | None
    reported: dict[str, Any] | None


@dataclass
class Way:
    """One system on its way through the history. ``cut``: breaks its bus, if it is to be broken at all."""

    name: str
    system: System
    owner: "asyncpg.Connection[asyncpg.Record]"
    cut: Callable[[], None] | None = None
    heal: Callable[[], None] | None = None
    drives: dict[int, str] = field(default_factory=dict)

    async def go(self, steps: Sequence[Step], prefix: str, cut_at: int) -> list[Asked]:
        done = []
        students = [row[0] for row in await self.owner.fetch("SELECT student_id FROM students ORDER BY student_id")]
        async with self.system.client() as client:
            for number, step in enumerate(steps):
                if number == cut_at and self.cut is not None:
                    await asyncio.to_thread(self.cut)
                if number == cut_at + 1 and self.cut is not None:
                    await self.system.until_bus_is("open")
                done.append(await self._ask(client, step, f"{prefix}-{number}", students))
        if self.heal is not None:
            await asyncio.to_thread(self.heal)
        return done

    async def _ask(self, client: httpx.AsyncClient, step: Step, name: str, students: list[int]) -> Asked:
        drive = list(self.drives)[-1 - step.which % min(len(self.drives), 4)] if self.drives else 0
        method, path, asked, headers = request(step, name, drive, students)
        answer = await client.request(method, path, json=asked, headers=headers)
        body = answer.json()
        if step.kind == "create" and answer.is_success:
            drive = body["drive_id"]
            self.drives[drive] = name
        if step.settled:
            await eventually(self._is_settled, within_s=40)
        job = body.get("job") or {}
        if step.kind == "export" and answer.is_success:
            # The file is there now, and an answer that waited for it has said the same already.
            there = (await client.get(f"/api/exports/{body['export_id']}")).json()
            assert answer.status_code == 202 or {**body, "job": None} == {**there, "job": None}
            body = there
        # A job that has ended by the time of the answer makes 200 of 202.
        status = 200 if answer.status_code == 202 else answer.status_code
        return Asked(self.drives[drive], step.kind, status, body, job.get("id"), job.get("result"))

    async def answers(self, done: Sequence[Asked], apart: set[str]) -> list[Any]:
        """Each step's answer, and what became of its job; of the drives ``apart`` only that it has ended well."""
        jobs = {row["id"]: row for row in await self.owner.fetch(JOBS)}
        answers = []
        for one in done:
            job = dict(jobs[one.job_id]) if one.job_id else {}
            result = json.loads(job.pop("result", None) or "null")
            assert one.reported in (None, result)
            if one.company not in apart and one.kind != "refresh":
                job["result"] = result
            answers.append((one.kind, one.status, normalised(one.body), normalised(job)))
        return answers

    async def state(self, apart: set[str]) -> dict[str, list[str]]:
        """Every row of ``STATE``; of the drives ``apart`` what they came to."""
        found = {}
        for name, sql in STATE.items():
            reduced = CAME_TO.get(name, tuple)
            rows = await self.owner.fetch(sql)
            kept = [reduced(row) if row.get("company_name") in apart else tuple(row) for row in rows]
            found[name] = sorted(str(row) for row in kept if row is not None)
        return found

    async def channels(self) -> set[str]:
        return {row["channel"] for row in await self.owner.fetch(CHANNELS)}

    async def _is_settled(self) -> bool:
        return int(await self.owner.fetchval(UNFINISHED)) == 0


@asynccontextmanager
async def way(name: str, template: Copies, folder: Path, bootstrap_servers: str) -> AsyncIterator[Way]:
    async with migrated_copy(template) as database_url:
        with running(database_url, bootstrap_servers, folder / name, LOG_LEVEL="warning") as system:
            owner = await asyncpg.connect(database_url)
            try:
                await enrol(owner, STUDENTS)
                await asyncio.to_thread(system.start_together, *PROCESSES)
                yield Way(name, system, owner)
            finally:
                await owner.close()


@dataclass
class Outcome:
    """What a way came to after one history. ``cut_found_by``: what woke the worker for the job at the cut."""

    answers: list[Any]
    state: dict[str, list[str]]
    cut_found_by: str | None


async def gone(way: Way) -> list[Outcome]:
    """Go through every history."""
    outcomes = []
    apart: set[str] = set()
    for seed in range(HISTORIES):
        if way.name != "down":
            await way.system.until_bus_is_trusted()
        steps, cut_at = history(seed, COMMANDS)
        done = await way.go(steps, f"C{seed}", cut_at)
        apart |= crowded(steps, [asked.company for asked in done])
        found_by = await way.owner.fetchval("SELECT channel FROM es.job WHERE id = $1", done[cut_at].job_id)
        outcomes.append(Outcome(await way.answers(done, apart), await way.state(apart), found_by))
    return outcomes


@pytest.mark.timeout(sized(small=300, full=1800))
async def test_the_same_history_three_ways(template: Copies, kafka_alone: Kafka, tmp_path: Path) -> None:
    """Those with Kafka come one after the other: it has one consumer group for each service."""
    kafka_at = kafka_alone.bootstrap_servers
    async with way("up", template, tmp_path, kafka_at) as up, way("down", template, tmp_path, NO_KAFKA) as down:
        expected, without = await asyncio.gather(gone(up), gone(down))
        # With Kafka up too, a poll may come first by chance.
        assert {"kafka"} <= await up.channels() <= {"kafka", "poll"}
        assert "kafka" not in await down.channels()
    async with way("cut", template, tmp_path, kafka_at) as cut:
        cut.cut, cut.heal = kafka_alone.kill, kafka_alone.start
        interrupted = await gone(cut)
        assert await cut.channels() >= {"kafka", "http", "poll"}
    for seed, (one, other, last) in enumerate(zip(expected, without, interrupted, strict=True)):
        assert other.answers == one.answers, f"seed {seed}: another answer with the bus away"
        assert last.answers == one.answers, f"seed {seed}: another answer with the bus cut"
        for table in STATE:
            assert other.state[table] == one.state[table], f"seed {seed}: other {table} with the bus away"
            assert last.state[table] == one.state[table], f"seed {seed}: other {table} with the bus cut"
        # The breaker was still closed, and Kafka cut off already: only the poll can have found that job.
        assert last.cut_found_by not in ("kafka", "http")
    assert sum(len(rows) for rows in expected[-1].state.values()) > COMMANDS
