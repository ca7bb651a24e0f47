"""Random histories of commands. Steps have numbers instead of ids, so that every system can map them to its own ids."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from contracts.users import Role
from tests.support.system import bearer

MARKS = ("4.10", "5.50", "6.25", "7.75", "9.00")
WEIGHTS = {
    "create": 4, "publish": 4, "publish listed": 2, "criteria": 3, "evaluate": 2, "register": 7, "marks": 4,
    "stop": 2, "mark": 4, "finish": 1, "export": 3, "refresh": 1, "delete": 1,
}  # fmt: skip
# Commands that affect a later evaluation of the drive.
CONCERN_EVALUATIONS = ("create", "publish", "publish listed", "criteria", "evaluate", "stop", "finish", "delete")
# A registration depends on earlier selections. An export reads what later steps change.
AFTER_EVERYTHING, BEFORE_ANYTHING = "register", "export"
SETTLED = 0.4


@dataclass(frozen=True, slots=True)
class Step:
    """A command. ``settled``: the next command waits until every job has ended."""

    kind: str
    which: int
    other: int
    settled: bool


def history(seed: int, length: int) -> tuple[list[Step], int]:
    """Return ``length`` steps, and the number of the step at which Kafka is cut off.

    That step publishes a new drive just before the breaker opens, so only a poll can find its job. The next step starts
    another evaluation of the same drive while the breaker is open.
    """
    rng = random.Random(seed)
    cut_at = rng.randrange(2, length - 1)
    kinds = ["create", "publish", *rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=length - 2)]
    kinds[cut_at - 1 : cut_at + 2] = "create", "publish", rng.choice(("publish", "criteria", "evaluate"))
    steps: list[Step] = []
    marks_changed = False
    for number, (kind, following) in enumerate(pairwise([*kinds, AFTER_EVERYTHING])):
        which, other = rng.randrange(1000), rng.randrange(1000)
        marks_changed = marks_changed or kind == "marks"
        settled = kind == BEFORE_ANYTHING or following == AFTER_EVERYTHING or rng.random() < SETTLED
        settled = settled or (marks_changed and following == "marks")
        if number == cut_at - 1:
            which, other, settled = 1, 0, True  # ``which`` is odd, so the creation does not publish the drive
        elif number in (cut_at, cut_at + 1):
            which, other, settled = 0, 1, number > cut_at
        steps.append(Step(kind, which, other, settled))
        marks_changed = marks_changed and not settled
    return steps, cut_at


def request(
    step: Step, name: str, drive: int, students: list[int]
) -> tuple[str, str, dict[str, Any] | None, dict[str, str]]:
    """Return method, path, body and headers of ``step`` for ``drive``. ``name``: the company of a new drive."""
    student = students[step.other % len(students)]
    coordinator, as_student = bearer(Role.COORDINATOR, 900_002), bearer(Role.STUDENT, student)
    min_cgpa = MARKS[step.other % len(MARKS)]
    at = f"/api/drives/{drive}"
    new = {"company_name": name, "job_title": "Engineer", "min_cgpa": min_cgpa, "auto_calc": step.which % 2 == 0}
    listed = {"selected_students": students[step.which % 10 :: 7]}
    mark = {"student_id": student, "status": ("PRESENT", "ABSENT")[step.which % 2]}
    kind = ("registrations", "eligible_students")[step.other % 2]
    file = {"kind": kind, "drive_id": drive, "format": "csv", "columns": ["roll_number", "name", "branch"]}
    requests: dict[str, tuple[str, str, dict[str, Any] | None, dict[str, str]]] = {
        "create": ("POST", "/api/drives", new, bearer()),
        "publish": ("POST", f"{at}/publish", {}, coordinator),
        "publish listed": ("POST", f"{at}/publish", listed, coordinator),
        "criteria": ("PATCH", at, {"min_cgpa": min_cgpa}, bearer()),
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


def crowded(steps: Sequence[Step], companies: Sequence[str]) -> set[str]:
    """Return the companies for whose drive two commands ran at the same time, or one and a change of marks.

    The jobs of these drives may run in another order, or one job may replace another. So their histories may differ.
    ``companies``: the company of each step's drive.
    """
    crowded_companies: set[str] = set()
    touched: list[str] = []
    marks_changed = False
    for step, company in zip(steps, companies, strict=True):
        marks_changed = marks_changed or step.kind == "marks"
        if step.kind in CONCERN_EVALUATIONS:
            touched.append(company)
        crowded_companies |= {name for name in touched if marks_changed or touched.count(name) > 1}
        if step.settled:
            touched, marks_changed = [], False
    return crowded_companies
