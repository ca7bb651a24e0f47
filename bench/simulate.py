"""The path of a job as a simulation: ``uv run python -m bench.simulate [bench/results.json]``.

With the costs that ``make bench`` measured, it must reproduce the measured latencies at 100 jobs a second. Only then
are its predictions for 10 and 100 times as many jobs meaningful. It prints both. Assumptions:

1. All jobs are small, like those of ``effect_latency``, and each has its own stream. In the comparison with the bench
   they arrive at equal intervals, as in the bench. In predictions they arrive at random (Poisson).
2. A job has two events: its request and its result. The relay sends both. Each costs half of the measured cost of both.
3. A relay is one process. It takes the waiting rows, up to ``TURN``, and sends them in one turn. Today one relay sends.
   A prediction with several relays assumes that each sends a group of streams. This is not built (docs/scaling.md).
4. A worker is one process, which uses one core. It runs ``SLOTS`` small jobs at once, since several share a
   transaction.
5. Postgres appends the event before the job is accepted. Its cost of sending is the cost that the bench measured while
   only the relay ran. Half of its remaining cost is for the claim of the job, half for the effect. The cost of the API
   is left out.
6. Processor times come from the burst, in which a job costs less than alone. The times of the relay and Kafka include
   small turns, which send results one by one. In full turns the relay sends several times as many events
   (docs/scaling.md).
7. The measured time beyond processor time is waiting (disk, network, other programs). It does not grow with the load.
   It is chosen so that the simulated median equals the measured one, and is divided between way and effect as measured.
   Each part is ``STEPS`` exponential waits in sequence: notice, Kafka and claim; insert, end and commit. So the equal
   median proves nothing. A similar p99 only shows that the number of steps is about right: with one step it would be
   nearly twice as long. A commit waits for the disk independently of other commits.
8. At today's load all parts share ``CORES`` cores. A larger installation gives Postgres its own cores, and each relay
   and worker one core. No other program uses these cores.
9. Kafka is not the limit. Its processor time is counted, and it has at least as many partitions as there are workers.
"""

import json
import math
import random
import statistics
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import simpy
from rich.console import Console

from bench.effects import AT_ONCE
from chassis.jobs.worker import BATCH_SIZE
from cli.output import table

TURN = 1_000
SLOTS = AT_ONCE * BATCH_SIZE
EVENTS_A_JOB = 2
STEPS = 3
# The median of the sum of six equal exponential waits, as a share of its mean (Erlang's distribution: 5.670 / 6).
MEDIAN = 0.945
CORES = 2
JOBS = 4_000
TODAY = 100.0
# The highest planned utilisation of a part. Above it, waiting for the part dominates the latency.
BUSY = 0.6
SEED = 20_261_124
COLUMNS = ("", "jobs/s", "relays", "workers", "cores of Postgres", "p50, ms", "p99, ms", "busiest")

Step = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of one job with both its events, in seconds: processor time of each part, and waiting.

    Postgres: ``append`` before the job is accepted, ``sending`` for the relay, ``doing`` for the worker. Waiting:
    ``way`` to the worker, and ``effect``.
    """

    append: float
    relay: float
    worker: float
    sending: float
    doing: float
    kafka: float
    way: float
    effect: float

    @classmethod
    def measured(cls, results: dict[str, Any]) -> Self:
        """Return the costs in ``results``. Raises ``KeyError`` with the name of a missing figure."""
        figures = {(figure["of"], figure["name"]): figure["value"] for figure in results["measured"]}
        relay, worker, postgres, kafka = (
            figures["cost", f"{part}: from commit to effect"] / 1e6 for part in ("relay", "worker", "postgres", "kafka")
        )
        append = figures["cost", "postgres: append"] / 1e6
        sending = EVENTS_A_JOB * figures["cost", "postgres: from commit to Kafka"] / 1e6
        doing = max(postgres - sending, 0)
        effect = figures["effect_latency", "claimed to done, median"] / 1000
        latency = next(ratio["ours"] for ratio in results["ratios"] if ratio["name"] == "effect_latency_p50") / 1000
        sent = (relay + sending + kafka) / EVENTS_A_JOB
        return cls(
            append, relay, worker, sending, doing, kafka,
            way=max(latency - effect - sent - doing / 2, 0) / MEDIAN,
            effect=max(effect - worker - doing / 2, 0) / MEDIAN,
        )  # fmt: skip

    @property
    def turn(self) -> float:
        """Return the time of a relay for each job."""
        return self.relay + self.sending + self.kafka

    @property
    def postgres(self) -> float:
        return self.append + self.sending + self.doing

    @property
    def slot(self) -> float:
        """Return how long a job that never waits occupies one of its worker's slots."""
        return self.worker + self.doing + self.effect


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of processes and cores. ``postgres_cores`` 0: all parts share ``CORES``."""

    workers: int = 1
    postgres_cores: int = 0
    relays: int = 1


@dataclass
class Simulation:
    """One run. ``latencies_s``: of each job, in the order in which the jobs finished."""

    costs: Costs
    layout: Layout
    rng: random.Random
    world: simpy.Environment = field(default_factory=simpy.Environment)
    latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        shared = None if self.layout.postgres_cores else simpy.Resource(self.world, CORES)
        self.postgres = shared or simpy.Resource(self.world, self.layout.postgres_cores)
        self.elsewhere = shared
        self.outboxes: list[list[simpy.Event]] = [[] for _ in range(self.layout.relays)]
        self.more = [self.world.event() for _ in range(self.layout.relays)]
        self.processes = [simpy.Resource(self.world, 1) for _ in range(self.layout.workers)]
        self.slots = [simpy.Resource(self.world, SLOTS) for _ in range(self.layout.workers)]

    def run(self, per_second: float, jobs: int, *, evenly: bool = False) -> None:
        for relay in range(self.layout.relays):
            self.world.process(self._relay(relay))
        self.world.run(self.world.process(self._arrivals(per_second, jobs, evenly=evenly)))

    def _arrivals(self, per_second: float, jobs: int, *, evenly: bool) -> Step:
        started = []
        for number in range(jobs):
            yield self.world.timeout(1 / per_second if evenly else self.rng.expovariate(per_second))
            started.append(self.world.process(self._job(number)))
        yield self.world.all_of(started)

    def _job(self, number: int) -> Step:
        relay, worker = number % self.layout.relays, number % self.layout.workers
        yield from self._spend(self.postgres, self.costs.append)
        began = self.world.now
        yield self._queued(relay)
        yield self.world.timeout(self._waiting(self.costs.way))
        with self.slots[worker].request() as slot:
            yield slot
            yield from self._spend(self.postgres, self.costs.doing / 2)
            with self.processes[worker].request() as turn:
                yield turn
                yield from self._spend(self.elsewhere, self.costs.worker)
            yield from self._spend(self.postgres, self.costs.doing / 2)
            yield self.world.timeout(self._waiting(self.costs.effect))
        self.latencies_s.append(self.world.now - began)
        self._queued(relay)

    def _queued(self, relay: int) -> simpy.Event:
        """Add an event to the outbox. Return a simulation event that is triggered when the relay has sent it."""
        sent = self.world.event()
        self.outboxes[relay].append(sent)
        if not self.more[relay].triggered:
            self.more[relay].succeed()
        return sent

    def _relay(self, number: int) -> Step:
        own, sending = (self.costs.relay + self.costs.kafka) / EVENTS_A_JOB, self.costs.sending / EVENTS_A_JOB
        while True:
            if not self.outboxes[number]:
                self.more[number] = self.world.event()
                yield self.more[number]
            events, self.outboxes[number] = self.outboxes[number][:TURN], self.outboxes[number][TURN:]
            yield from self._spend(self.postgres, sending * len(events))
            yield from self._spend(self.elsewhere, own * len(events))
            for event in events:
                event.succeed()

    def _spend(self, cores: simpy.Resource | None, seconds: float) -> Step:
        """Spend processor time on shared ``cores``; ``None``: on a dedicated core."""
        if cores is None:
            yield self.world.timeout(seconds)
            return
        with cores.request() as core:
            yield core
            yield self.world.timeout(seconds)

    def _waiting(self, mean: float) -> float:
        return self.rng.gammavariate(STEPS, mean / STEPS) if mean > 0 else 0.0


def simulated(
    costs: Costs, layout: Layout, per_second: float, *, jobs: int = JOBS, evenly: bool = False, seed: int = SEED
) -> list[float]:
    """Return latencies in seconds, without the first tenth of the jobs, which found empty queues."""
    simulation = Simulation(costs, layout, random.Random(seed))  # noqa: S311 - a simulation
    simulation.run(per_second, jobs, evenly=evenly)
    return simulation.latencies_s[jobs // 10 :]


def enough(costs: Costs, per_second: float) -> Layout:
    """Return the smallest layout in which the utilisation of relays, workers and Postgres is at most ``BUSY``."""
    workers = math.ceil(per_second * max(costs.worker, costs.slot / SLOTS) / BUSY)
    postgres = math.ceil(per_second * costs.postgres / BUSY)
    relays = math.ceil(per_second * costs.turn / BUSY)
    return Layout(workers=max(workers, 1), postgres_cores=max(postgres, 1), relays=max(relays, 1))


def busiest(costs: Costs, layout: Layout, per_second: float) -> tuple[str, float]:
    """Return the busiest part and its utilisation. Above 1, its queue grows without end."""
    shares = {
        "the relay": per_second * costs.turn / layout.relays,
        "the workers": per_second * costs.worker / layout.workers,
        "their slots": per_second * costs.slot / SLOTS / layout.workers,
        "Postgres": per_second * costs.postgres / (layout.postgres_cores or CORES),
    }
    if not layout.postgres_cores:
        shares["the cores"] = per_second * (costs.relay + costs.worker + costs.postgres + costs.kafka) / CORES
    part = max(shares, key=lambda name: shares[name])
    return part, shares[part]


def main(arguments: list[str]) -> None:
    file = Path(arguments[0]) if arguments else Path(__file__).with_name("results.json")
    if not file.is_file():
        sys.exit(f"there is no {file}: run `make bench` first, or name the results of a run")
    results = json.loads(file.read_text())
    Console().print(table(COLUMNS, predicted(results), title=f"Simulated from {file.name} ({results['size']})"))


def predicted(results: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return rows of ``COLUMNS``: measured, simulated, and predicted for 10 and 100 times as many jobs.

    Raises ``KeyError`` with the name of a missing figure.
    """
    costs = Costs.measured(results)
    measured = {ratio["name"]: ratio["ours"] for ratio in results["ratios"]}
    rows: list[tuple[object, ...]] = [
        ("measured", TODAY, 1, 1, CORES, measured["effect_latency_p50"], measured["effect_latency_p99"], ""),
        _row("today", costs, Layout(), TODAY, evenly=True),
    ]
    for times in (10, 100):
        rows.append(_row(f"x {times}, as today", costs, Layout(), TODAY * times))
        rows.append(_row(f"x {times}, enough", costs, enough(costs, TODAY * times), TODAY * times))
    return rows


def _row(name: str, costs: Costs, layout: Layout, per_second: float, *, evenly: bool = False) -> tuple[object, ...]:
    part, share = busiest(costs, layout, per_second)
    p50: object = "grows"
    p99: object = "without end"
    if share < 1:
        latencies_ms = [latency * 1000 for latency in simulated(costs, layout, per_second, evenly=evenly)]
        p50, p99 = statistics.median(latencies_ms), statistics.quantiles(latencies_ms, n=100, method="inclusive")[98]
    cores = layout.postgres_cores or CORES
    return name, per_second, layout.relays, layout.workers, cores, p50, p99, f"{part}, {share:.0%}"


if __name__ == "__main__":
    main(sys.argv[1:])
