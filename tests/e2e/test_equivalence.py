"""The same commands give the same responses and the same state with Kafka up, down, or killed midway."""

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

# The state without identifiers and times. Drives are identified by their company, students by their roll number.
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
    "jobs": "SELECT kind, state, dead_lettered, error FROM es.job WHERE kind <> 'refresh'",
    "events": """
        SELECT n.data #>> '{posting,company_name}' AS company_name, split_part(e.stream_id, '-', 1) AS stream,
               e.type, e.version
          FROM es.event e LEFT JOIN es.event n
            ON n.type = 'placewire.drive.created.v1' AND n.stream_id = replace(e.stream_id, 'eligibility-', 'drive-')
         WHERE e.stream_id NOT LIKE 'refresh-%'""",
}
# For drives whose jobs may have run in another order: the part of a row that does not depend on the order.
WITHOUT_STEPS: dict[str, Callable[[asyncpg.Record], tuple[Any, ...] | None]] = {
    "evaluations": lambda row: (row["company_name"], row["drive_version"], row["applied"], row["selected"]),
    "selections": lambda row: None if row["revoked_version"] else (row["company_name"], row["roll_number"]),
    "notifications": lambda row: None if row["drive_version"] else tuple(row),
    "events": lambda row: None if row["stream"] == "eligibility" else tuple(row),
}
JOBS = "SELECT id::text, kind, state, result, error FROM es.job"
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
# Channels of the jobs that the history requested, without requests of the clock, for which maintenance wakes its own
# worker. A job that was absorbed by another job has no channel.
CHANNELS = """
SELECT DISTINCT j.channel
  FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE coalesce(e.data ->> 'cause', 'request') = 'request' AND NOT coalesce(j.result ? 'absorbed_by', false)
   AND j.channel IS NOT NULL"""
# Fields of responses that differ between systems: identifiers and times.
IDENTIFIERS = {"id", "drive_id", "registration_id", "attendance_id", "export_id", "refresh_id", "job_id"}
TIMES = {"as_of", "snapshot", "file", "file_name", "interview_date"}
# Fields of a job that depend on the channel and on the time of the response.
PROGRESS = {"channel", "delivery", "state", "result"}


def normalised(body: Any) -> Any:
    """Return ``body`` without identifiers and times, and its job without fields that depend on the progress."""
    if isinstance(body, list):
        return [normalised(part) for part in body]
    if not isinstance(body, dict):
        return body
    kept = {
        key: normalised({name: part for name, part in value.items() if name not in PROGRESS})
        if key == "job"
        else normalised(value)
        for key, value in body.items()
    }
    return {key: value for key, value in kept.items() if key not in IDENTIFIERS | TIMES and not key.endswith("_at")}


@dataclass
class AnsweredStep:
    """An answered step: the company of its drive, the response, and the id and result of its job, if any."""

    company: str
    kind: str
    status: int
    body: Any
    job_id: str | None
    reported: dict[str, Any] | None


@dataclass
class Way:
    """A system that executes the history. ``cut`` stops its Kafka and ``heal`` starts it again, if they are set."""

    name: str
    system: System
    owner: "asyncpg.Connection[asyncpg.Record]"
    cut: Callable[[], None] | None = None
    heal: Callable[[], None] | None = None
    drives: dict[int, str] = field(default_factory=dict)

    async def go(self, steps: Sequence[Step], prefix: str, cut_at: int) -> list[AnsweredStep]:
        done = []
        students = [row[0] for row in await self.owner.fetch("SELECT student_id FROM students ORDER BY student_id")]
        async with self.system.client() as client:
            for number, step in enumerate(steps):
                if number == cut_at and self.cut is not None:
                    await asyncio.to_thread(self.cut)
                if number == cut_at + 1 and self.cut is not None:
                    await self.system.until_bus_is("open")
                done.append(await self._send(client, step, f"{prefix}-{number}", students))
        if self.heal is not None:
            await asyncio.to_thread(self.heal)
        return done

    async def _send(self, client: httpx.AsyncClient, step: Step, name: str, students: list[int]) -> AnsweredStep:
        drive = list(self.drives)[-1 - step.which % min(len(self.drives), 4)] if self.drives else 0
        method, path, content, headers = request(step, name, drive, students)
        answer = await client.request(method, path, json=content, headers=headers)
        body = answer.json()
        if step.kind == "create" and answer.is_success:
            drive = body["drive_id"]
            self.drives[drive] = name
        if step.settled:
            await eventually(self._is_settled, within_s=40)
        job = body.get("job") or {}
        if step.kind == "export" and answer.is_success:
            # The file exists now. A response that waited for the file must have been the same.
            export = (await client.get(f"/api/exports/{body['export_id']}")).json()
            assert answer.status_code == 202 or {**body, "job": None} == {**export, "job": None}
            body = export
        # 202 and 200 only differ in whether the job had ended before the response.
        status = 200 if answer.status_code == 202 else answer.status_code
        return AnsweredStep(self.drives[drive], step.kind, status, body, job.get("id"), job.get("result"))

    async def answers(self, done: Sequence[AnsweredStep], apart: set[str]) -> list[Any]:
        """Return each step's response and the end of its job. Leave out the results of jobs of the drives ``apart``."""
        jobs = {row["id"]: row for row in await self.owner.fetch(JOBS)}
        answers = []
        for step in done:
            job = dict(jobs[step.job_id]) if step.job_id else {}
            result = json.loads(job.pop("result", None) or "null")
            assert step.reported in (None, result)
            if step.company not in apart and step.kind != "refresh":
                job["result"] = result
            answers.append((step.kind, step.status, normalised(step.body), normalised(job)))
        return answers

    async def state(self, apart: set[str]) -> dict[str, list[str]]:
        """Return every row of ``STATE``. For the drives ``apart``, return only what does not depend on the order."""
        state = {}
        for name, sql in STATE.items():
            reduced = WITHOUT_STEPS.get(name, tuple)
            rows = await self.owner.fetch(sql)
            kept = [reduced(row) if row.get("company_name") in apart else tuple(row) for row in rows]
            state[name] = sorted(str(row) for row in kept if row is not None)
        return state

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
    """The result of one history. ``cut_found_by``: the channel of the job at the cut."""

    answers: list[Any]
    state: dict[str, list[str]]
    cut_found_by: str | None


async def outcomes_of(way: Way) -> list[Outcome]:
    """Execute every history on the system of ``way``, and return the outcomes."""
    outcomes = []
    apart: set[str] = set()
    for seed in range(HISTORIES):
        if way.name != "down":
            await way.system.until_bus_is_trusted()
        steps, cut_at = history(seed, COMMANDS)
        done = await way.go(steps, f"C{seed}", cut_at)
        apart |= crowded(steps, [step.company for step in done])
        found_by = await way.owner.fetchval("SELECT channel FROM es.job WHERE id = $1", done[cut_at].job_id)
        outcomes.append(Outcome(await way.answers(done, apart), await way.state(apart), found_by))
    return outcomes


@pytest.mark.timeout(sized(small=300, full=1800))
async def test_the_outcome_does_not_depend_on_kafka(template: Copies, kafka_alone: Kafka, tmp_path: Path) -> None:
    """Systems with Kafka run one after the other, because Kafka has one consumer group for each service."""
    kafka_at = kafka_alone.bootstrap_servers
    async with way("up", template, tmp_path, kafka_at) as up, way("down", template, tmp_path, NO_KAFKA) as down:
        expected, without = await asyncio.gather(outcomes_of(up), outcomes_of(down))
        # A poll may be faster than Kafka.
        assert {"kafka"} <= await up.channels() <= {"kafka", "poll"}
        assert "kafka" not in await down.channels()
    async with way("cut", template, tmp_path, kafka_at) as cut:
        cut.cut, cut.heal = kafka_alone.kill, kafka_alone.start
        interrupted = await outcomes_of(cut)
        assert await cut.channels() >= {"kafka", "http", "poll"}
    for seed, (with_kafka, without_kafka, with_cut) in enumerate(zip(expected, without, interrupted, strict=True)):
        assert without_kafka.answers == with_kafka.answers, f"seed {seed}: other responses with Kafka down"
        assert with_cut.answers == with_kafka.answers, f"seed {seed}: other responses with Kafka killed midway"
        for table in STATE:
            assert without_kafka.state[table] == with_kafka.state[table], f"seed {seed}: other {table} with Kafka down"
            assert with_cut.state[table] == with_kafka.state[table], f"seed {seed}: other {table} with Kafka killed"
        # Kafka was down and the breaker still closed, so only a poll can have found this job.
        assert with_cut.cut_found_by not in ("kafka", "http")
    assert sum(len(rows) for rows in expected[-1].state.values()) > COMMANDS
