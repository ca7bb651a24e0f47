"""What the counting afterwards has found."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """What was promised and is not there, and what is there and was not asked for; each with its evidence.

    ``channels``: jobs by kind and by what woke the worker first; *none*: they ended with a job that another worker ran.
    ``superseded``: jobs that ended with a newer one of their drive.
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

    def compare(self, what: str, promised: Counter[str], there: Counter[str]) -> None:
        """Each as often as promised: less is lost, more is doubled."""
        self.lost += [f"{what} {name}" for name in promised - there]
        self.doubled += [f"{what} {name}" for name in there - promised]
