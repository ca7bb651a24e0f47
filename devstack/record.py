"""Record the processes of a stack, except its two servers, in a file, so that a later command can stop them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from devstack.processes import Process


@dataclass(slots=True)
class Record:
    """The record of a stack. ``processes``: oldest first. ``starter``: the program that the stack must not outlive."""

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
        content = json.loads(path.read_text())
        starter = Process(**content["starter"]) if content["starter"] else None
        return cls(path, starter, [Process(**fields) for fields in content["processes"]])

    @property
    def abandoned(self) -> bool:
        """Return whether the stack's starter died without stopping the stack."""
        return self.starter is not None and not self.starter.running

    def add(self, process: Process) -> None:
        """Record ``process`` and save the file. It replaces an earlier process with its name."""
        self.processes = [other for other in self.processes if other.name != process.name] + [process]
        self.save()

    def save(self) -> None:
        """Replace the file atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        starter = self.starter.as_dict() if self.starter else None
        content = {"starter": starter, "processes": [process.as_dict() for process in self.processes]}
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps(content, indent=2) + "\n")
        scratch.replace(self.path)

    def clear(self) -> None:
        self.starter, self.processes = None, []
        self.path.unlink(missing_ok=True)
