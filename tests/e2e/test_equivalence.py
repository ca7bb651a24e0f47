"""The same history of commands with the bus up, away, and cut in the middle: the same answers, the same final state."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.users import Role
from devstack.kafka import Kafka
from devstack.ports import free_port
from devstack.stack import Addresses, data_folder
from tests.conftest import migrated_copy
from tests.enrolment import enrol
from tests.eventually import eventually
from tests.sizes import sized
from tests.system import System, bearer, running
from tests.tcp_proxy import TcpProxy

HISTORIES = sized(small=1, full=20)
COMMANDS = sized(small=20, full=60)
STUDENTS = 30
PROCESSES = ("eligibility", "exporter", "maintenance", "relay", "api")
NOBODY_LISTENS = "127.0.0.1:9"

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
        SELECT split_part(stream_id, '-', 1) AS stream, type, version
          FROM es.event WHERE stream_id NOT LIKE 'refresh-%'""",
}
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
MARKS = ("4.10", "5.50", "6.25", "7.75", "9.00")


@dataclass(frozen=True, slots=True)
class Step:
    """A command by numbers that every way resolves against its own identifiers."""

    kind: str
    which: int
    other: int


def history(seed: int) -> list[Step]:
    chance = random.Random(seed)
    weights = {
        "create": 4, "publish": 4, "publish listed": 2, "criteria": 3, "evaluate": 2, "register": 7, "marks": 4,
        "stop": 2, "mark": 4, "finish": 1, "export": 3, "refresh": 1, "delete": 1,
    }  # fmt: skip
    kinds = ["create", "publish", *chance.choices(list(weights), weights=list(weights.values()), k=COMMANDS - 2)]
    return [Step(kind, chance.randrange(1000), chance.randrange(1000)) for kind in kinds]


@dataclass
class Way:
    """One system on its way through the history. ``cut_at``: before which step its bus is cut, if at all."""

    name: str
    system: System
    owner: "asyncpg.Connection[asyncpg.Record]"
    cut: Callable[[], None] | None = None
    heal: Callable[[], None] | None = None
    drives: list[int] = field(default_factory=list)
    roads: set[str] = field(default_factory=set)

    async def go(self, steps: list[Step], prefix: str, cut_at: int) -> list[Any]:
        answers = []
        students = [row[0] for row in await self.owner.fetch("SELECT student_id FROM students ORDER BY student_id")]
        async with self.system.client() as client:
            for number, step in enumerate(steps):
                method, path, body, headers = self._request(step, f"{prefix}-{number}", students)
                asking = asyncio.create_task(client.request(method, path, json=body, headers=headers))
                if number == cut_at and self.cut is not None:
                    self.cut()
                answer = await asking
                if step.kind == "create" and answer.is_success:
                    self.drives.append(answer.json()["drive_id"])
                answers.append((step.kind, _outcome(answer.status_code), answer.json().get("message")))
                await eventually(self._is_settled, within_s=40)
        if self.heal is not None:
            self.heal()
        return answers

    def _request(self, step: Step, name: str, students: list[int]) -> tuple[str, str, Any, dict[str, str]]:
        drive = self.drives[-1 - step.which % min(len(self.drives), 4)] if self.drives else 0
        student = students[step.other % len(students)]
        coordinator, as_student = bearer(Role.COORDINATOR, 900_002), bearer(Role.STUDENT, student)
        bar = MARKS[step.other % len(MARKS)]
        at = f"/api/drives/{drive}"
        new = {"company_name": name, "job_title": "Engineer", "min_cgpa": bar, "auto_calc": step.which % 2 == 0}
        listed = {"selected_students": students[step.which % 10 :: 7]}
        mark = {"student_id": student, "status": ("PRESENT", "ABSENT")[step.which % 2]}
        of = ("registrations", "eligible_students")[step.other % 2]
        file = {"kind": of, "drive_id": drive, "format": "csv", "columns": ["roll_number", "name", "branch"]}
        requests = {
            "create": ("POST", "/api/drives", new, bearer()),
            "publish": ("POST", f"{at}/publish", {}, coordinator),
            "publish listed": ("POST", f"{at}/publish", listed, coordinator),
            "criteria": ("PATCH", at, {"min_cgpa": bar}, bearer()),
            "evaluate": ("POST", f"{at}/trigger-eligibility", {}, bearer()),
            "register": ("POST", f"/api/registrations/{drive}/register", {}, as_student),
            "marks": ("PATCH", f"/api/students/{student}", {"cgpa": MARKS[step.which % len(MARKS)]}, bearer()),
            "stop": ("POST", f"{at}/stop-registrations", {}, coordinator),
            "mark": ("POST", f"/api/attendance/{drive}/mark", mark, coordinator),
            "finish": ("POST", f"/api/attendance/{drive}/publish", {}, coordinator),
            "export": ("POST", "/api/exports", file, bearer()),
            "refresh": ("POST", "/api/analytics/refresh", {}, bearer()),
            "delete": ("DELETE", at, None, bearer()),
        }
        return requests[step.kind]

    async def _is_settled(self) -> bool:
        return int(await self.owner.fetchval(UNFINISHED)) == 0

    async def state(self) -> dict[str, list[str]]:
        found = {name: sorted(str(tuple(row)) for row in await self.owner.fetch(sql)) for name, sql in STATE.items()}
        self.roads = {row[0] for row in await self.owner.fetch("SELECT DISTINCT via FROM es.job")}
        return found


def _outcome(status: int) -> int:
    """A job that has ended by the time of the answer makes 200 of 202, and nothing else differs."""
    return 200 if status == 202 else status


@pytest.fixture
def own_network() -> Iterator[tuple[Kafka, TcpProxy]]:
    """A broker that can be reached through a network of its own only."""
    port = free_port()
    with ExitStack() as undo:
        network = undo.enter_context(TcpProxy(port))
        kafka = Kafka(data_folder() / f"equivalence-{port}", port, advertised_port=network.port)
        undo.callback(kafka.kill)
        kafka.start()
        yield kafka, network


@asynccontextmanager
async def way(name: str, template: Addresses, folder: Path, bootstrap_servers: str) -> AsyncIterator[Way]:
    async with migrated_copy(template) as database_url:
        with running(database_url, bootstrap_servers, folder / name, LOG_LEVEL="warning") as system:
            owner = await asyncpg.connect(database_url)
            try:
                await enrol(owner, STUDENTS)
                for process in PROCESSES:
                    await asyncio.to_thread(system.start, process, wait=False)
                for started in system.processes.values():
                    await asyncio.to_thread(started.wait_ready)
                yield Way(name, system, owner)
            finally:
                await owner.close()


async def test_the_same_history_three_ways(
    template: Addresses, tmp_path: Path, own_network: tuple[Kafka, TcpProxy]
) -> None:
    _, network = own_network
    up_at = template.kafka_bootstrap_servers
    async with (
        way("up", template, tmp_path, up_at) as up,
        way("down", template, tmp_path, NOBODY_LISTENS) as down,
        way("cut", template, tmp_path, network.address) as cut,
    ):
        cut.cut, cut.heal = network.cut, network.heal
        await up.system.until_bus_is_trusted()
        for seed in range(HISTORIES):
            await cut.system.until_bus_is_trusted()
            steps = history(seed)
            cut_at = random.Random(seed).randrange(1, COMMANDS)
            answers = await asyncio.gather(*(one.go(steps, f"C{seed}", cut_at) for one in (up, down, cut)))
            assert answers[1] == answers[0], f"seed {seed}: another answer with the bus away"
            assert answers[2] == answers[0], f"seed {seed}: another answer with the bus cut before step {cut_at}"
            states = [await one.state() for one in (up, down, cut)]
            assert states[1] == states[0], f"seed {seed}: another state with the bus away"
            assert states[2] == states[0], f"seed {seed}: another state with the bus cut before step {cut_at}"
        assert up.roads == {"bus"}
        assert "bus" not in down.roads
        assert cut.roads >= {"bus", "http"}
        assert sum(len(rows) for rows in states[0].values()) > COMMANDS
