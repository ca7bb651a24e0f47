"""Record every command and its response, to compare them with the database at the end."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Command:
    """A command of a client. It has the same Idempotency-Key each time it is sent."""

    kind: str
    path: str
    role: str
    user_id: int
    body: dict[str, Any]
    key: str
    method: str = "POST"
    began: float = 0.0
    ended: float = 0.0
    tries: int = 0
    status: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def drive_id(self) -> int:
        """Return the drive of an accepted command."""
        return int(self.answer["drive_id"] if "drive_id" in self.answer else self.path.split("/")[3])

    @property
    def student_id(self) -> int:
        """Return the student whose marks the command changes."""
        return int(self.path.rpartition("/")[2])

    @property
    def job_id(self) -> str | None:
        job = self.answer.get("job")
        return str(job["id"]) if job else None


@dataclass
class Ledger:
    """The commands of a run. ``tries``: the outcomes of single requests, by kind of command.

    ``skipped``: how many commands were not sent, because too many others were in progress. ``sent_for_s``: for how
    many seconds commands were sent.
    """

    commands: list[Command] = field(default_factory=list)
    tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: int = 0
    sent_for_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Return the average number of commands that were sent in a second."""
        return len(self.commands) / self.sent_for_s if self.sent_for_s else 0.0

    def accepted(self, *kinds: str) -> list[Command]:
        return [command for command in self.commands if command.kind in kinds and command.accepted]

    @property
    def unanswered(self) -> list[Command]:
        return [command for command in self.commands if command.status is None]

    @property
    def refused(self) -> list[Command]:
        """Return the commands that got another response than 2xx. A healthy system accepts every command."""
        return [command for command in self.commands if command.status is not None and not command.accepted]

    @property
    def job_ids(self) -> set[str]:
        return {command.job_id for command in self.commands if command.accepted and command.job_id}
