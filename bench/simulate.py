"""The path of a job as a simulation: ``uv run python -m bench.simulate [bench/results.json]``.

With the costs that ``make bench`` measured, it must reproduce the measured latencies at 100 jobs a second. Only then
are its predictions for 10 and 100 times as many jobs meaningful. Both are printed. Assumptions:

1. Jobs are all of the small kind of ``effect_latency``, each on a stream of its own. For the comparison they come as
   evenly as they did in the bench, else at random (Poisson).
2. A job is two events: its own, and that of its result. Each is sent by the relay, at half of what both cost.
3. A relay is one process: it takes what waits, up to ``TURN`` rows, and sends it in one turn. Today there is one; where
   more are predicted, each leads a group of streams (docs/scaling.md), which is not built.
4. A worker is one process: its own time runs on one core. It works on ``SLOTS`` small jobs at once, as several share a
   transaction.
5. Postgres appends before a job is accepted; it spends on sending what it was measured to spend while only the relay
   ran; of the rest, one half when the job is claimed, the other in its effect. What the API spends is not
   here.
6. Processor time is that of the burst: less than each job costs alone. The relay's and Kafka's hold the small turns in
   which results trickle out of a worker; what the relay does alone, in full turns, is several times as much
   (docs/scaling.md).
7. What was measured beyond processor time is waiting (disk, network, other programs), and grows with nothing else: so
   much that the measured median comes out, some on the way and some in the effect as measured. Each is ``STEPS``
   exponential waits, one after the other: notice, Kafka and claim; insert, end and commit. That the median is met is
   therefore no finding, and that the p99 is near says only that so many steps have about the right shape: with one
   step it would be nearly twice as long. A commit waits for the disk alone, however many do.
8. At today's load everything shares ``CORES`` cores. A larger installation gives Postgres its own, each relay and
   worker one; nothing else is another program's.
9. Kafka is not what limits: its processor time is spent, and its partitions are at least as many as the workers.
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
# The median of six like exponential waits is so much of their mean (Erlang's distribution: 5.670 / 6).
MEDIAN = 0.945
CORES = 2
JOBS = 4_000
TODAY = 100.0
# Above this share of a part's time, waiting for it begins to rule.
BUSY = 0.6
SEED = 20_261_124
COLUMNS = ("", "jobs/s", "relays", "workers", "cores of Postgres", "p50, ms", "p99, ms", "busiest")

Step = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one job with both its events, in seconds: processor time of each part, and what it waits on its way and in its
    effect.

    Postgres: ``append`` before it is accepted, ``sending`` for the relay, ``doing`` for the worker.
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
        """Raises ``KeyError`` naming a figure that the results do not have."""
        found = {(one["of"], one["name"]): one["value"] for one in results["measured"]}
        relay, worker, postgres, kafka = (
            found["cost", f"{part}: from commit to effect"] / 1e6 for part in ("relay", "worker", "postgres", "kafka")
        )
        append = found["cost", "postgres: append"] / 1e6
        sending = EVENTS_A_JOB * found["cost", "postgres: from commit to Kafka"] / 1e6
        doing = max(postgres - sending, 0)
        effect = found["effect_latency", "claimed to done, median"] / 1000
        latency = next(one["ours"] for one in results["ratios"] if one["name"] == "effect_latency_p50") / 1000
        sent = (relay + sending + kafka) / EVENTS_A_JOB
        return cls(
            append, relay, worker, sending, doing, kafka,
            way=max(latency - effect - sent - doing / 2, 0) / MEDIAN,
            effect=max(effect - worker - doing / 2, 0) / MEDIAN,
        )  # fmt: skip

    @property
    def turn(self) -> float:
        """A relay's, for each job."""
        return self.relay + self.sending + self.kafka

    @property
    def postgres(self) -> float:
        return self.append + self.sending + self.doing

    @property
    def slot(self) -> float:
        """Return how long a job occupies one of its worker's slots when it does not wait."""
        return self.worker + self.doing + self.effect


@dataclass(frozen=True, slots=True)
class Layout:
    """``postgres_cores`` 0: everything shares ``CORES``."""

    workers: int = 1
    postgres_cores: int = 0
    relays: int = 1


@dataclass
class Simulation:
    """One run. ``took``: the latency of each job in seconds, in the order in which they finished."""

    costs: Costs
    layout: Layout
    chance: random.Random
    world: simpy.Environment = field(default_factory=simpy.Environment)
    took: list[float] = field(default_factory=list)

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
        all_of_them = []
        for number in range(jobs):
            yield self.world.timeout(1 / per_second if evenly else self.chance.expovariate(per_second))
            all_of_them.append(self.world.process(self._job(number)))
        yield self.world.all_of(all_of_them)

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
        self.took.append(self.world.now - began)
        self._queued(relay)

    def _queued(self, relay: int) -> simpy.Event:
        """An event waits to be sent; triggered when it has been."""
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
            taken, self.outboxes[number] = self.outboxes[number][:TURN], self.outboxes[number][TURN:]
            yield from self._spend(self.postgres, sending * len(taken))
            yield from self._spend(self.elsewhere, own * len(taken))
            for one in taken:
                one.succeed()

    def _spend(self, cores: simpy.Resource | None, seconds: float) -> Step:
        """Spend processor time on shared ``cores``, or on a dedicated core."""
        if cores is None:
            yield self.world.timeout(seconds)
            return
        with cores.request() as core:
            yield core
            yield self.world.timeout(seconds)

    def _waiting(self, mean: float) -> float:
        return self.chance.gammavariate(STEPS, mean / STEPS) if mean > 0 else 0.0


def simulated(
    costs: Costs, layout: Layout, per_second: float, *, jobs: int = JOBS, evenly: bool = False, seed: int = SEED
) -> list[float]:
    """Return latencies in seconds, without the first tenth of the jobs, which met empty queues."""
    simulation = Simulation(costs, layout, random.Random(seed))  # noqa: S311 - a simulation
    simulation.run(per_second, jobs, evenly=evenly)
    return simulation.took[jobs // 10 :]


def enough(costs: Costs, per_second: float) -> Layout:
    """Return the smallest layout in which no scalable part is busier than ``BUSY``."""
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
    first = max(shares, key=lambda name: shares[name])
    return first, shares[first]


def main(arguments: list[str]) -> None:
    file = Path(arguments[0]) if arguments else Path(__file__).with_name("results.json")
    if not file.is_file():
        sys.exit(f"there is no {file}: run `make bench` first, or name the results of a run")
    results = json.loads(file.read_text())
    Console().print(table(COLUMNS, predicted(results), title=f"Simulated from {file.name} ({results['size']})"))


def predicted(results: dict[str, Any]) -> list[tuple[object, ...]]:
    """Rows of ``COLUMNS``: measured, simulated, and for 10 and 100 times as many jobs. Raises as ``Costs.measured``."""
    costs = Costs.measured(results)
    measured = {one["name"]: one["ours"] for one in results["ratios"]}
    rows: list[tuple[object, ...]] = [
        ("measured", TODAY, 1, 1, CORES, measured["effect_latency_p50"], measured["effect_latency_p99"], ""),
        _row("today", costs, Layout(), TODAY, evenly=True),
    ]
    for times in (10, 100):
        rows.append(_row(f"x {times}, as today", costs, Layout(), TODAY * times))
        rows.append(_row(f"x {times}, enough", costs, enough(costs, TODAY * times), TODAY * times))
    return rows


def _row(name: str, costs: Costs, layout: Layout, per_second: float, *, evenly: bool = False) -> tuple[object, ...]:
    first, share = busiest(costs, layout, per_second)
    p50: object = "grows"
    p99: object = "without end"
    if share < 1:
        took = sorted(simulated(costs, layout, per_second, evenly=evenly))
        p50, p99 = statistics.median(took) * 1000, statistics.quantiles(took, n=100, method="inclusive")[98] * 1000
    cores = layout.postgres_cores or CORES
    return name, per_second, layout.relays, layout.workers, cores, p50, p99, f"{first}, {share:.0%}"


if __name__ == "__main__":
    main(sys.argv[1:])
