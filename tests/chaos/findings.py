"""The result of the audit after a run."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """The findings, each with its evidence.

    ``lost``: was accepted but is missing. ``doubled``: exists more often than it was requested.
    ``channels``: the number of jobs by kind and channel; *none* is the channel of a job that the refresh of another
    worker completed.
    ``superseded``: the number of jobs that a newer job of their drive replaced.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    channels: Counter[tuple[str, str]] = field(default_factory=Counter)
    superseded: int = 0
    events: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def compare(self, what: str, expected: Counter[str], actual: Counter[str]) -> None:
        """Record names that are rarer in ``actual`` than in ``expected`` as lost, and more frequent ones as doubled."""
        self.lost += [f"{what} {name}" for name in expected - actual]
        self.doubled += [f"{what} {name}" for name in actual - expected]
