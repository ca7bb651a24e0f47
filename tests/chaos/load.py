"""A stream of commands at a steady rate, whatever becomes of those before, by clients that never give up."""

import asyncio
import random
import time
from collections.abc import Coroutine
from itertools import count
from typing import Any
from uuid import UUID

import httpx

from contracts.users import Role
from tests.chaos.ledger import Command, Ledger
from tests.system import bearer

# What is sent, and how often out of a hundred.
MIX = {"create": 12, "create and publish": 8, "publish": 12, "evaluate": 6, "register": 42, "export": 12, "refresh": 8}
MIN_CGPA = ("", "5", "6.5", "8")
TRY_TIMEOUT_S = 12.0
AT_MOST_IN_FLIGHT = 400


class Load:
    """Sends ``rate`` commands a second to the replicas in turn, and enters every answer in ``ledger``.

    A command is sent again, under the same Idempotency-Key and to the other replica, until it is answered with
    something that another try would not change. ``eligible``: for each of ``MIN_CGPA``, who meets it.
    """

    def __init__(
        self, urls: list[str], head_id: int, eligible: dict[str, list[int]], *, rate: float, seed: int
    ) -> None:
        self.ledger = Ledger()
        self.min_cgpa: dict[int, str] = {}
        self._urls = urls
        self._head_id = head_id
        self._eligible = eligible
        self._rate = rate
        self._chance = random.Random(seed)
        self._turn = count()
        self._numbers = count(1)
        self._pending: list[int] = []
        self._posted: list[int] = []
        self._open: list[int] = []
        self._busy: set[int] = set()
        self._registered: dict[int, set[int]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Send until ``stop``; returns when every command has been answered."""
        loop = asyncio.get_running_loop()
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=40, keepalive_expiry=3)
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(TRY_TIMEOUT_S, connect=1, pool=None), limits=limits
        ) as client:
            began = due = loop.time()
            while not self._stopped.is_set():
                if len(self._sending) < AT_MOST_IN_FLIGHT:
                    self._send_one(client)
                else:
                    self.ledger.skipped += 1
                due += 1 / self._rate
                await asyncio.sleep(max(due - loop.time(), 0))
            self.ledger.sent_for_s = loop.time() - began
            while self._sending:  # an answer may begin another task
                await asyncio.gather(*self._sending)

    def stop(self) -> None:
        """Send nothing new."""
        self._stopped.set()

    def _send_one(self, client: httpx.AsyncClient) -> None:
        command = self._next()
        self.ledger.commands.append(command)
        self._begin(self._until_answered(client, command))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _next(self) -> Command:
        [kind] = self._chance.choices(list(MIX), weights=list(MIX.values()))
        make = {
            "publish": self._publish,
            "evaluate": self._evaluate,
            "register": self._register,
            "export": self._export,
            "refresh": self._refresh,
        }.get(kind)
        return (make() if make else None) or self._create(publish=kind == "create and publish")

    def _create(self, *, publish: bool) -> Command:
        company = f"Company {next(self._numbers)}"
        body = {"company_name": company, "job_title": "Engineer", "min_cgpa": self._chance.choice(MIN_CGPA)}
        kind = "create and publish" if publish else "create"
        return self._command(kind, "/api/drives", body | ({"auto_calc": True} if publish else {}))

    def _publish(self) -> Command | None:
        if not self._pending:
            return None
        drive_id = self._pending.pop(self._chance.randrange(len(self._pending)))
        return self._command("publish", f"/api/drives/{drive_id}/publish", {})

    def _evaluate(self) -> Command | None:
        free = [drive_id for drive_id in self._posted[-40:] if drive_id not in self._busy]
        if not free:
            return None
        drive_id = self._chance.choice(free)
        self._busy.add(drive_id)  # one at a time: two at once may rightly be refused
        return self._command("evaluate", f"/api/drives/{drive_id}/trigger-eligibility", {})

    def _register(self) -> Command | None:
        if not self._open:
            return None
        drive_id = self._chance.choice(self._open[-40:])
        taken = self._registered.setdefault(drive_id, set())
        left = [id_ for id_ in self._eligible[self.min_cgpa[drive_id]] if id_ not in taken]
        if not left:
            return None
        student_id = self._chance.choice(left)
        taken.add(student_id)
        path = f"/api/registrations/{drive_id}/register"
        return self._command("register", path, {}, Role.STUDENT, student_id)

    def _export(self) -> Command | None:
        if not self._posted:
            return None
        body = {"kind": "registrations", "drive_id": self._chance.choice(self._posted[-40:])}
        return self._command("export", "/api/exports", body | {"format": self._chance.choice(("csv", "csv", "xlsx"))})

    def _refresh(self) -> Command:
        return self._command("refresh", "/api/analytics/refresh", {})

    def _command(
        self, kind: str, path: str, body: dict[str, Any], role: Role = Role.HEAD, user_id: int | None = None
    ) -> Command:
        key = str(UUID(int=self._chance.getrandbits(128)))
        return Command(kind, path, role, user_id or self._head_id, body, key, began=time.monotonic())

    async def _until_answered(self, client: httpx.AsyncClient, command: Command) -> None:
        while command.status is None:
            url = self._urls[next(self._turn) % len(self._urls)]
            headers = bearer(Role(command.role), command.user_id) | {"Idempotency-Key": command.key}
            try:
                answer = await client.post(url + command.path, json=command.body, headers=headers)
            except httpx.TimeoutException:
                self.ledger.tries[command.kind, "timed out"] += 1
            except httpx.TransportError:
                self.ledger.tries[command.kind, "connection lost"] += 1
                await asyncio.sleep(0.1)
            else:
                self.ledger.tries[command.kind, str(answer.status_code)] += 1
                if answer.status_code in (429, 503):
                    await asyncio.sleep(min(float(answer.headers.get("Retry-After", 1)), 1.0))
                    continue
                command.status, command.answer = answer.status_code, answer.json()
        command.ended = time.monotonic()
        if command.accepted:
            self._learn(client, command)

    def _learn(self, client: httpx.AsyncClient, command: Command) -> None:
        if command.kind == "evaluate":
            self._busy.discard(command.drive_id)
        elif command.kind in ("create", "create and publish"):
            self.min_cgpa[command.drive_id] = command.body["min_cgpa"]
        if command.kind == "create":
            self._pending.append(command.drive_id)
        elif command.kind in ("publish", "create and publish"):
            self._posted.append(command.drive_id)
            self._begin(self._until_selected(client, command))

    async def _until_selected(self, client: httpx.AsyncClient, publication: Command) -> None:
        """Before that a student is rightly told that he is not selected."""
        path, state = f"/api/jobs/{publication.job_id}", "queued"
        while state not in ("succeeded", "failed"):
            await asyncio.sleep(0.3)
            url = self._urls[next(self._turn) % len(self._urls)]
            try:
                answer = await client.get(url + path, headers=bearer(Role.HEAD, self._head_id))
            except httpx.TransportError:
                continue
            state = answer.json()["state"] if answer.status_code == 200 else state
        self._open.append(publication.drive_id)
