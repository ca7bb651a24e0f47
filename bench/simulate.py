"""The road of a job as a simulation: ``uv run python -m bench.simulate [bench/results.json]``.

With the costs that ``make bench`` measured it must give back the latencies that were measured beside them, at 100 jobs
a second; only then are its predictions for 10 and 100 times as many worth reading. Both are printed. Assumptions:

1. Jobs arrive at random (Poisson), all of the small kind of ``effect_latency``, each on a stream of its own.
2. The relay is one process, one leader: it takes what waits, up to ``TURN`` rows, and sends it in one turn.
3. A worker is one process: its own time runs on one core. It receives in batches, and works on ``SLOTS`` jobs at once.
4. Postgres spends on sending what it was measured to spend while only the relay ran; of the rest, one half when the
   job is received and claimed, the other in its effect.
5. What was measured beyond processor time is waiting (disk, network, other programs), and grows with nothing else. It
   is exponentially distributed; a commit waits for the disk alone, however many do.
6. At today's load everything shares ``CORES`` cores. A larger installation gives Postgres its own, the relay and each
   worker one; nothing else is another program's.
7. Kafka is not what limits: its processor time is spent, and its partitions are at least as many as the workers.
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

from cli.output import table

TURN = 1_000
SLOTS = 4
CORES = 2
JOBS = 4_000
TODAY = 100.0
# Above this share of a part's time, waiting for it begins to rule.
BUSY = 0.6
SEED = 20_261_124

Step = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one job, in seconds: processor time of each part, and the waiting on its way and in its effect.

    Postgres: ``sending`` for the relay, ``doing`` for the worker.
    """

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
        relay, sending, kafka = (
            found["cost", f"{part}: from commit to Kafka"] / 1e6 for part in ("relay", "postgres", "kafka")
        )
        worker, postgres = (found["cost", f"{part}: from commit to effect"] / 1e6 for part in ("worker", "postgres"))
        doing = max(postgres - sending, 0)
        way = found["effect_latency", "queued to received, median"] / 1000
        effect = found["effect_latency", "claimed to done, median"] / 1000
        # The median of exponential waiting is its mean times ln 2.
        return cls(
            relay, worker, sending, doing, kafka,
            way=max(way - relay - sending - kafka, 0) / math.log(2),
            effect=max(effect - worker - doing / 2, 0) / math.log(2),
        )  # fmt: skip

    @property
    def turn(self) -> float:
        """The one relay's, for each event."""
        return self.relay + self.sending + self.kafka

    @property
    def slot(self) -> float:
        """How long a job holds one of its worker's slots when nobody is in its way."""
        return self.worker + self.doing + self.effect


@dataclass(frozen=True, slots=True)
class Layout:
    """``postgres_cores`` 0: everything shares ``CORES``."""

    workers: int = 1
    postgres_cores: int = 0


@dataclass
class Road:
    """One run of the simulation; ``took`` has each job's latency in seconds, in the order done."""

    costs: Costs
    layout: Layout
    chance: random.Random
    world: simpy.Environment = field(default_factory=simpy.Environment)
    took: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        shared = None if self.layout.postgres_cores else simpy.Resource(self.world, CORES)
        self.postgres = shared or simpy.Resource(self.world, self.layout.postgres_cores)
        self.elsewhere = shared
        self.outbox: list[simpy.Event] = []
        self.more = self.world.event()
        self.processes = [simpy.Resource(self.world, 1) for _ in range(self.layout.workers)]
        self.slots = [simpy.Resource(self.world, SLOTS) for _ in range(self.layout.workers)]

    def run(self, per_second: float, jobs: int) -> None:
        self.world.process(self._relay())
        self.world.run(self.world.process(self._arrivals(per_second, jobs)))

    def _arrivals(self, per_second: float, jobs: int) -> Step:
        all_of_them = []
        for number in range(jobs):
            yield self.world.timeout(self.chance.expovariate(per_second))
            all_of_them.append(self.world.process(self._job(number % self.layout.workers)))
        yield self.world.all_of(all_of_them)

    def _job(self, worker: int) -> Step:
        began = self.world.now
        sent = self.world.event()
        self.outbox.append(sent)
        if not self.more.triggered:
            self.more.succeed()
        yield sent
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

    def _relay(self) -> Step:
        while True:
            if not self.outbox:
                self.more = self.world.event()
                yield self.more
            taken, self.outbox = self.outbox[:TURN], self.outbox[TURN:]
            yield from self._spend(self.postgres, self.costs.sending * len(taken))
            yield from self._spend(self.elsewhere, (self.costs.relay + self.costs.kafka) * len(taken))
            for one in taken:
                one.succeed()

    def _spend(self, cores: simpy.Resource | None, seconds: float) -> Step:
        """Processor time: on ``cores`` that others want too, or on a core of one's own."""
        if cores is None:
            yield self.world.timeout(seconds)
            return
        with cores.request() as core:
            yield core
            yield self.world.timeout(seconds)

    def _waiting(self, mean: float) -> float:
        return self.chance.expovariate(1 / mean) if mean > 0 else 0.0


def simulated(costs: Costs, layout: Layout, per_second: float, *, jobs: int = JOBS, seed: int = SEED) -> list[float]:
    """Latencies in seconds, without the first tenth, in which everything was still empty."""
    road = Road(costs, layout, random.Random(seed))  # noqa: S311 - a simulation
    road.run(per_second, jobs)
    return road.took[jobs // 10 :]


def enough(costs: Costs, per_second: float) -> Layout:
    """The smallest layout in which no part that can be multiplied is busy above ``BUSY``."""
    workers = math.ceil(per_second * max(costs.worker, costs.slot / SLOTS) / BUSY)
    postgres = per_second * (costs.sending + costs.doing)
    return Layout(workers=max(workers, 1), postgres_cores=max(math.ceil(postgres / BUSY), 1))


def keeps_up(costs: Costs, layout: Layout, per_second: float) -> str:
    """What is the first to be busy all the time, with its share; above 100 % the queue grows without end."""
    postgres = costs.sending + costs.doing
    shares = {
        "the relay": per_second * costs.turn,
        "the workers": per_second * costs.worker / layout.workers,
        "their slots": per_second * costs.slot / SLOTS / layout.workers,
        "Postgres": per_second * postgres / (layout.postgres_cores or CORES),
    }
    if not layout.postgres_cores:
        shares["the cores"] = per_second * (costs.relay + costs.worker + postgres + costs.kafka) / CORES
    first = max(shares, key=lambda name: shares[name])
    return f"{first}, {shares[first]:.0%}"


def main(arguments: list[str]) -> None:
    file = Path(arguments[0]) if arguments else Path(__file__).with_name("results.json")
    if not file.is_file():
        sys.exit(f"there is no {file}: run `make bench` first, or name the results of a run")
    results = json.loads(file.read_text())
    costs = Costs.measured(results)
    measured = {one["name"]: one["ours"] for one in results["ratios"]}
    rows: list[tuple[object, ...]] = [
        ("measured", TODAY, 1, CORES, measured["effect_latency_p50"], measured["effect_latency_p99"], ""),
        _row("today", costs, Layout(), TODAY),
    ]
    for times in (10, 100):
        rows.append(_row(f"x {times}, as today", costs, Layout(), TODAY * times))
        rows.append(_row(f"x {times}, enough", costs, enough(costs, TODAY * times), TODAY * times))
    columns = ("", "jobs/s", "workers", "cores of Postgres", "p50, ms", "p99, ms", "busiest")
    Console().print(table(columns, rows, title=f"Simulated from {file.name} ({results['size']})"))


def _row(name: str, costs: Costs, layout: Layout, per_second: float) -> tuple[object, ...]:
    took = sorted(simulated(costs, layout, per_second))
    p99 = statistics.quantiles(took, n=100, method="inclusive")[98]
    cores = layout.postgres_cores or CORES
    busiest = keeps_up(costs, layout, per_second)
    return name, per_second, layout.workers, cores, statistics.median(took) * 1000, p99 * 1000, busiest


if __name__ == "__main__":
    main(sys.argv[1:])
