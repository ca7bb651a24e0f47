"""What a system that does one thing after the other would hold: drives and marks as the accepted commands left them."""

from dataclasses import dataclass
from decimal import Decimal

from tests.chaos.ledger import Command

# The first drives are revised and published again, for as long as the run lasts; the others stay as they were posted.
CONTESTED_DRIVES = 8
CONTESTED_BARS = ("8.25", "9", "9.5")
STEADY_BARS = ("", "5", "6.5", "8")
# Marks that change stay at or above the highest steady bar: no steady drive is concerned by them.
CHANGING_MARKS = ("8.1", "8.6", "9.2", "9.8")


@dataclass
class Drive:
    """``listed``: exactly whom the last publication named; ``None``: everyone eligible."""

    min_cgpa: str
    contested: bool
    posted: bool = False
    listed: frozenset[int] | None = None


class Model:
    """Learns the accepted commands. Of one drive, and of one student, only one is ever under way: their order is known.

    ``marks``: the CGPA of each student at the beginning. Half of those that meet every steady bar are the wavering:
    their marks change, and so they are on no list and register for nothing.
    """

    def __init__(self, marks: dict[int, Decimal | None]) -> None:
        self.marks = dict(marks)
        self.drives: dict[int, Drive] = {}
        highest = max(Decimal(bar) for bar in STEADY_BARS if bar)
        self.wavering = sorted(id_ for id_, mark in marks.items() if mark is not None and mark >= highest)[::2]
        self.steadfast = set(marks) - set(self.wavering)

    def learn(self, command: Command) -> None:
        """What an accepted command changes."""
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
        """Whose marks, as they are now, meet the bar."""
        if not min_cgpa:
            return set(self.marks)
        return {id_ for id_, mark in self.marks.items() if mark is not None and mark >= Decimal(min_cgpa)}

    def selected(self, drive_id: int) -> set[int]:
        """Of a posted drive: by its criteria, its list and the marks, all as they are now."""
        drive = self.drives[drive_id]
        eligible = self.eligible(drive.min_cgpa)
        return eligible if drive.listed is None else eligible & drive.listed
