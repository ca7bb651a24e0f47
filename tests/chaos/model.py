"""A model of a system that executes the accepted commands one after the other: its drives and marks."""

from dataclasses import dataclass
from decimal import Decimal

from tests.chaos.ledger import Command

# The first drives (contested) are revised and published again during the whole run. The others (steady) do not change
# after their publication. A bar is the CGPA that a drive requires.
CONTESTED_DRIVES = 8
CONTESTED_BARS = ("8.25", "9", "9.5")
STEADY_BARS = ("", "5", "6.5", "8")
# Marks that change stay at or above the highest steady bar, so that they do not affect steady drives.
CHANGING_MARKS = ("8.1", "8.6", "9.2", "9.8")


@dataclass
class Drive:
    """A drive. ``listed``: the students of the last publication's list; ``None``: all eligible students."""

    min_cgpa: str
    contested: bool
    posted: bool = False
    listed: frozenset[int] | None = None


class Model:
    """The state after the accepted commands. Each drive and student has only one command at a time in progress.

    ``marks``: the CGPA of each student at the beginning. Half of the students who meet every steady bar are the
    wavering students: their marks change, so they are on no list and do not register. The others are steadfast.
    """

    def __init__(self, marks: dict[int, Decimal | None]) -> None:
        self.marks = dict(marks)
        self.drives: dict[int, Drive] = {}
        highest = max(Decimal(bar) for bar in STEADY_BARS if bar)
        self.wavering = sorted(id_ for id_, mark in marks.items() if mark is not None and mark >= highest)[::2]
        self.steadfast = set(marks) - set(self.wavering)

    def learn(self, command: Command) -> None:
        """Apply an accepted command."""
        if command.kind == "marks":
            self.marks[command.student_id] = Decimal(command.body["cgpa"])
        elif command.kind in ("create", "create and publish"):
            bar = command.body["min_cgpa"]
            self.drives[command.drive_id] = Drive(bar, bar in CONTESTED_BARS, command.kind == "create and publish")
        elif command.kind in ("publish", "publish again"):
            drive = self.drives[command.drive_id]
            drive.posted = True
            listed = command.body.get("selected_students")
            drive.listed = None if listed is None else frozenset(listed)
        elif command.kind == "revise":
            self.drives[command.drive_id].min_cgpa = command.body["min_cgpa"]

    def eligible(self, min_cgpa: str) -> set[int]:
        """Return the students whose current marks meet the bar."""
        if not min_cgpa:
            return set(self.marks)
        return {id_ for id_, mark in self.marks.items() if mark is not None and mark >= Decimal(min_cgpa)}

    def selected(self, drive_id: int) -> set[int]:
        """Return the students whom the current criteria, list and marks select for a published drive."""
        drive = self.drives[drive_id]
        eligible = self.eligible(drive.min_cgpa)
        return eligible if drive.listed is None else eligible & drive.listed
