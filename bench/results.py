"""The results of a run, and their file ``bench/results.json``."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.pairs import Pairs, spread

# The bound of each ratio: at most this many times the limit or the other system.
AT_MOST = {
    "eligibility_100k": 1.25,
    "eligibility_1m": 1.25,
    "export_csv_1m": 1.25,
    "import_1m": 2.0,
    "accept_32": 2.0,
    "effect_latency_p50": 2.0,
    "effect_latency_p99": 1.5,
    "effect_drain": 0.25,
    "effect_drain_pgqueuer": 1.0,
    "poll_drives": 1.5,
    "poll_check": 1.5,
    "console_page": 1.5,
    "growth": 11.0,
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A bounded ratio. ``spread``: the quartiles of the pairs' ratios. ``ours``, ``theirs``: medians, in ``unit``."""

    name: str
    ratio: float
    at_most: float
    spread: tuple[float, float]
    ours: float
    theirs: float
    unit: str
    pairs: int

    @property
    def met(self) -> bool:
        return self.ratio <= self.at_most


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure that has no bound. ``of``: the bench or the group that it belongs to."""

    of: str
    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process during ``work``, in MiB. ``at_most``: the bound on its growth, if any."""

    process: str
    work: str
    before: float
    peak: float
    at_most: float | None = None


def _machine() -> dict[str, str]:
    """Return the facts about the machine that a reader needs, and none that identifies it."""
    return {"cpus": str(os.cpu_count()), "system": platform.system(), "python": platform.python_version()}


@dataclass(slots=True)
class Results:
    """All results of a run. ``lines``: by name, seconds for each number of rows.

    ``curves``: by name, the remaining number at each moment (seconds).
    """

    size: str
    ratios: list[Ratio] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    lines: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=_machine)

    def compare(self, name: str, pairs: Pairs, unit: str) -> None:
        """Add the bounded ratio ``name``. Raises ``KeyError`` for a ratio without a bound."""
        ratio = pairs.ratio
        ours, theirs = spread(pairs.ours).middle, spread(pairs.theirs).middle
        quartiles = (ratio.low, ratio.high)
        self.ratios.append(Ratio(name, ratio.middle, AT_MOST[name], quartiles, ours, theirs, unit, len(pairs.ours)))

    def note(self, of: str, name: str, value: float, unit: str) -> None:
        self.measured.append(Measured(of, name, value, unit))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
