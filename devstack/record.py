"""A file that lists the processes of a stack besides its two servers, so that a later command can stop exactly them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from devstack.processes import Process


@dataclass(slots=True)
class Record:
    """``processes``: oldest first. ``starter``: if set, the stack must not outlive this program."""

    FILE: ClassVar = "running.json"

    path: Path
    starter: Process | None = None
    processes: list[Process] = field(default_factory=list)

    @classmethod
    def load(cls, home: Path) -> "Record":
        """Return the record of ``home``, which is empty if there is no file."""
        path = home / cls.FILE
        if not path.exists():
            return cls(path)
        found = json.loads(path.read_text())
        starter = Process(**found["starter"]) if found["starter"] else None
        return cls(path, starter, [Process(**one) for one in found["processes"]])

    @property
    def abandoned(self) -> bool:
        """Whether the stack's starter died without stopping it."""
        return self.starter is not None and not self.starter.running

    def add(self, process: Process) -> None:
        """Put ``process`` on record at once, in place of an earlier one of that name."""
        self.processes = [one for one in self.processes if one.name != process.name] + [process]
        self.save()

    def save(self) -> None:
        """Replace the file atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        starter = self.starter.as_dict() if self.starter else None
        content = {"starter": starter, "processes": [one.as_dict() for one in self.processes]}
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps(content, indent=2) + "\n")
        scratch.replace(self.path)

    def clear(self) -> None:
        self.starter, self.processes = None, []
        self.path.unlink(missing_ok=True)
