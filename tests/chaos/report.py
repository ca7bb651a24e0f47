"""Print the results of a run as tables."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.chaos.faults import Fault
from tests.chaos.findings import Findings
from tests.chaos.ledger import Ledger

MOST_EVIDENCE = 20
# The limits below say how much a run must have done for its result to be meaningful.
KINDS = ("eligibility", "export", "refresh")
CHANNELS = ("kafka", "http", "poll")
LEAST_SHARE = 0.05
LEAST_PER_S = 20
LONG_RUN_S, LEAST_FAULTS = 900, 60


@dataclass(frozen=True, slots=True)
class Committed:
    """A fault that was caused: when it began and when its target was ready again (monotonic seconds)."""

    fault: Fault
    began: float
    recovered: float


@dataclass
class Report:
    seed: int
    seconds: float
    ledger: Ledger
    faults: list[Committed] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    @property
    def jobs(self) -> int:
        return sum(self.findings.channels.values())

    def share(self, *, kind: str | None = None, channel: str | None = None) -> float:
        """Return the share of jobs that have this ``kind`` and ``channel``."""
        jobs = sum(n for (k, c), n in self.findings.channels.items() if kind in (None, k) and channel in (None, c))
        return jobs / max(self.jobs, 1)

    def shortfalls(self) -> list[str]:
        """Return why this run proves too little: a kind or channel was hardly used, or commands or faults were few."""
        shares = {kind: self.share(kind=kind) for kind in KINDS} | {name: self.share(channel=name) for name in CHANNELS}
        reasons = [
            f"{name} carried {share:.1%} of the jobs, not {LEAST_SHARE:.0%}"
            for name, share in shares.items()
            if share < LEAST_SHARE
        ]
        if self.ledger.per_s < LEAST_PER_S:
            reasons.append(f"{self.ledger.per_s:.1f} commands a second were sent, not {LEAST_PER_S}")
        if self.seconds >= LONG_RUN_S and len(self.faults) < LEAST_FAULTS:
            reasons.append(f"{len(self.faults)} faults in {self.seconds:.0f} s, not {LEAST_FAULTS}")
        return reasons

    def longest_waits(self) -> dict[str, float]:
        """Return for each fault the longest time of a command that overlapped with it, with all tries, in seconds."""
        waits: dict[str, float] = defaultdict(float)
        for done in self.faults:
            for command in self.ledger.commands:
                if command.ended and command.began < done.recovered and command.ended > done.began:
                    waits[done.fault.name] = max(waits[done.fault.name], command.ended - command.began)
        return waits


def show(report: Report, console: Console) -> None:
    waits = report.longest_waits()
    counted = Counter(done.fault.name for done in report.faults)
    faults = [(name, str(n), f"{waits.get(name, 0):.1f}") for name, n in sorted(counted.items())]
    console.print(_table(f"{len(report.faults)} faults", ("Fault", "Times", "Longest wait of a client, s"), faults))
    tries: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, outcome), n in report.ledger.tries.items():
        tries[kind][outcome] += n
    outcomes = sorted({outcome for _, outcome in report.ledger.tries})
    requests = [(kind, *(str(by[outcome] or "") for outcome in outcomes)) for kind, by in sorted(tries.items())]
    ledger = report.ledger
    sent = f"{len(ledger.commands)} commands, {ledger.per_s:.1f} a second, {ledger.skipped} skipped; by request"
    console.print(_table(sent, ("Command", *outcomes), requests))
    channels = sorted({channel for _, channel in report.findings.channels})
    kinds = sorted({kind for kind, _ in report.findings.channels})
    jobs = [
        (
            kind,
            *(str(report.findings.channels[kind, channel]) for channel in channels),
            f"{report.share(kind=kind):.1%}",
        )
        for kind in kinds
    ]
    jobs.append(("share", *(f"{report.share(channel=channel):.1%}" for channel in channels), ""))
    found = report.findings
    title = f"{report.jobs} jobs, by channel; {found.superseded} overtaken by a newer one"
    console.print(_table(title, ("Kind", *channels, "Share"), jobs))
    for name, evidence in (("lost", found.lost), ("doubled", found.doubled), ("wrong", found.wrong)):
        for line in evidence[:MOST_EVIDENCE]:
            console.print(f"{name}: {line}", markup=False, highlight=False)
    console.print(
        f"Seed {report.seed}, {report.seconds:.0f} s, {found.events} events on their topics: "
        f"[bold]{len(found.lost)} lost, {len(found.doubled)} doubled, {len(found.wrong)} wrong[/bold]."
    )


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
