"""Choose the next commands of clients at random. A healthy system accepts each of them."""

import random
import time
from itertools import count
from typing import Any
from uuid import UUID

from contracts.users import Role
from tests.chaos.ledger import Command
from tests.chaos.model import CHANGING_MARKS, CONTESTED_BARS, CONTESTED_DRIVES, STEADY_BARS, Model

# How many of a hundred commands are of each kind.
MIX = {
    "create": 10, "create and publish": 8, "publish": 10, "publish again": 4, "revise": 5, "evaluate": 6, "marks": 4,
    "register": 34, "export": 12, "refresh": 7,
}  # fmt: skip


class Clients:
    """Chooses commands. Call ``answered`` for each accepted command, and ``opened`` for each evaluated drive.

    Registrations and exports are only for steady drives, for which the set of eligible students does not change.
    """

    def __init__(self, model: Model, head_id: int, *, seed: int) -> None:
        self._model = model
        self._head_id = head_id
        self._chance = random.Random(seed)
        self._numbers = count(1)
        self._pending: list[int] = []
        self._posted: list[int] = []
        self._contested: list[int] = []
        self._open: list[int] = []
        # Those with a command in progress. The system may refuse a second one at the same time.
        self._busy_drives: set[int] = set()
        self._busy_students: set[int] = set()
        self._registered: dict[int, set[int]] = {}

    def next_command(self) -> Command:
        """Return the next command. If a command of the chosen kind is not possible yet, create a drive instead."""
        [kind] = self._chance.choices(list(MIX), weights=list(MIX.values()))
        make = {
            "publish": self._publish,
            "publish again": self._publish_again,
            "revise": self._revise,
            "evaluate": self._evaluate,
            "marks": self._marks,
            "register": self._register,
            "export": self._export,
            "refresh": self._refresh,
        }.get(kind)
        return (make() if make else None) or self._create(publish=kind == "create and publish")

    def answered(self, command: Command) -> None:
        """Record the effects of an accepted command."""
        self._model.learn(command)
        if command.kind in ("publish again", "revise", "evaluate"):
            self._busy_drives.discard(command.drive_id)
        elif command.kind == "marks":
            self._busy_students.discard(command.student_id)
        elif command.kind == "create":
            self._pending.append(command.drive_id)
        elif command.kind in ("publish", "create and publish"):
            contested = self._model.drives[command.drive_id].contested
            (self._contested if contested else self._posted).append(command.drive_id)

    def opened(self, drive_id: int) -> None:
        """Record that the drive's selected students can register now."""
        if not self._model.drives[drive_id].contested:
            self._open.append(drive_id)

    def _create(self, *, publish: bool) -> Command:
        number = next(self._numbers)
        bars = CONTESTED_BARS if number <= CONTESTED_DRIVES else STEADY_BARS
        body = {"company_name": f"Company {number}", "job_title": "Engineer", "min_cgpa": self._chance.choice(bars)}
        kind = "create and publish" if publish else "create"
        return self._command(kind, "/api/drives", body | ({"auto_calc": True} if publish else {}))

    def _publish(self) -> Command | None:
        if not self._pending:
            return None
        drive_id = self._pending.pop(self._chance.randrange(len(self._pending)))
        return self._command("publish", f"/api/drives/{drive_id}/publish", {})

    def _publish_again(self) -> Command | None:
        """Publish a drive again, to all eligible students or to a list of students whose marks do not change."""
        drive_id = self._free(self._contested, self._busy_drives)
        if drive_id is None:
            return None
        candidates = sorted(self._model.eligible(self._model.drives[drive_id].min_cgpa) & self._model.steadfast)
        listed = self._chance.sample(candidates, self._chance.randint(0, len(candidates)))
        body = {"selected_students": listed} if listed else {}
        return self._command("publish again", f"/api/drives/{drive_id}/publish", body)

    def _revise(self) -> Command | None:
        drive_id = self._free(self._contested, self._busy_drives)
        if drive_id is None:
            return None
        others = [bar for bar in CONTESTED_BARS if bar != self._model.drives[drive_id].min_cgpa]
        body = {"min_cgpa": self._chance.choice(others)}
        return self._command("revise", f"/api/drives/{drive_id}", body, method="PATCH")

    def _evaluate(self) -> Command | None:
        drive_id = self._free(self._posted[-40:] + self._contested, self._busy_drives)
        return self._command("evaluate", f"/api/drives/{drive_id}/trigger-eligibility", {}) if drive_id else None

    def _marks(self) -> Command | None:
        student_id = self._free(self._model.wavering, self._busy_students)
        if student_id is None:
            return None
        others = [mark for mark in CHANGING_MARKS if mark != f"{self._model.marks[student_id]:.1f}"]
        body = {"cgpa": self._chance.choice(others)}
        return self._command("marks", f"/api/students/{student_id}", body, method="PATCH")

    def _register(self) -> Command | None:
        if not self._open:
            return None
        drive_id = self._chance.choice(self._open[-40:])
        registered = self._registered.setdefault(drive_id, set())
        eligible = self._model.eligible(self._model.drives[drive_id].min_cgpa) & self._model.steadfast
        unregistered = sorted(eligible - registered)
        if not unregistered:
            return None
        student_id = self._chance.choice(unregistered)
        registered.add(student_id)
        path = f"/api/registrations/{drive_id}/register"
        return self._command("register", path, {}, role=Role.STUDENT, user_id=student_id)

    def _export(self) -> Command | None:
        if not self._posted:
            return None
        body = {"kind": "registrations", "drive_id": self._chance.choice(self._posted[-40:])}
        return self._command("export", "/api/exports", body | {"format": self._chance.choice(("csv", "csv", "xlsx"))})

    def _refresh(self) -> Command:
        return self._command("refresh", "/api/analytics/refresh", {})

    def _free(self, ids: list[int], busy: set[int]) -> int | None:
        """Choose one of ``ids`` that is not in ``busy``, and add it there. Return ``None`` if there is none."""
        free = [id_ for id_ in ids if id_ not in busy]
        if not free:
            return None
        chosen = self._chance.choice(free)
        busy.add(chosen)
        return chosen

    def _command(
        self,
        kind: str,
        path: str,
        body: dict[str, Any],
        *,
        method: str = "POST",
        role: Role = Role.HEAD,
        user_id: int | None = None,
    ) -> Command:
        key = str(UUID(int=self._chance.getrandbits(128)))
        began = time.monotonic()
        return Command(kind, path, role, user_id or self._head_id, body, key, method=method, began=began)
