"""Compare the time from acceptance to committed effect, at 100 jobs a second, with Procrastinate.

PgQueuer runs the same jobs in the same rounds, for information.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from functools import partial
from uuid import UUID, uuid4

import asyncpg

from bench import pgqueuer_jobs, placewire_jobs, procrastinate_jobs
from bench.effects import COMMITTED, JobSystem, clear_effects, effects, ready
from bench.pairs import Pairs, alternated, spread
from bench.round_trip import round_trips_ms
from bench.sizes import Size
from bench.stage import Bench, Ground

PER_SECOND = 100
# The two phases of a job, from its row: first relay, Kafka, subscriber and claim; then the effect.
PHASES = """
WITH phase AS (
    SELECT extract(epoch FROM j.started_at - j.queued_at)::float8 * 1000 AS way,
           extract(epoch FROM j.finished_at - j.started_at)::float8 * 1000 AS work
      FROM es.job j JOIN bench.effect e ON j.subject = 'check-' || e.id
)
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY way) AS "queued to claimed",
       percentile_cont(0.5) WITHIN GROUP (ORDER BY work) AS "claimed to done"
  FROM phase
"""


def steps(size: Size) -> int:
    return 3 * (size.latency_pairs + 1)


async def run(bench: Bench) -> None:
    async with (
        bench.students(bench.size.rows[0]) as ground,
        placewire_jobs.system(ground) as placewire,
        procrastinate_jobs.system(ground) as procrastinate,
        pgqueuer_jobs.system(ground) as pgqueuer,
    ):
        systems = (placewire, procrastinate, pgqueuer)
        await ready(ground, *systems)
        phases: list[asyncpg.Record] = []
        p99: dict[str, list[float]] = {system.name: [] for system in systems}

        async def p50_ms(system: JobSystem) -> float:
            latencies = await latencies_ms(ground, system, round(bench.size.latency_s * PER_SECOND))
            p99[system.name].append(_p99(latencies))
            if system is placewire:
                phases.extend(await ground.owner.fetch(PHASES))
            return statistics.median(latencies)

        sides = [partial(p50_ms, system) for system in systems]
        medians = await alternated(*sides, rounds=bench.size.latency_pairs, step=bench.step)
        bare = await round_trips_ms(
            ground.system.kafka_bootstrap_servers, round(bench.size.latency_s * PER_SECOND), PER_SECOND
        )
    bench.results.compare("effect_latency_p50", Pairs(medians[0], medians[1]), "ms")
    bench.results.note("effect_latency", "a bare Kafka round trip, median", statistics.median(bare), "ms")
    bench.results.note("effect_latency", "a bare Kafka round trip, p99", _p99(bare), "ms")
    for phase in dict(phases[0]):
        median = statistics.median(row[phase] for row in phases[1:])
        bench.results.note("effect_latency", f"{phase}, median", median, "ms")
    for name, figures in ((pgqueuer.name, medians[2]), (f"{pgqueuer.name}, p99", tuple(p99[pgqueuer.name][1:]))):
        bench.results.note("effect_latency", name, spread(figures).middle, "ms")
    # The first round is a warm-up and does not count.
    tails = Pairs(tuple(p99[placewire.name][1:]), tuple(p99[procrastinate.name][1:]))
    bench.results.compare("effect_latency_p99", tails, "ms")


def _p99(latencies: Sequence[float]) -> float:
    return statistics.quantiles(latencies, n=100, method="inclusive")[98]


async def latencies_ms(ground: Ground, system: JobSystem, count: int) -> list[float]:
    """Return the latency of each of ``count`` jobs. They are queued every 1/100 s, without waiting for earlier jobs."""
    await clear_effects(ground)
    accepted: dict[UUID, float] = {}

    async def send(id_: UUID) -> None:
        await system.send(id_)
        accepted[id_] = time.time()

    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            if (pause := began + number / PER_SECOND - clock()) > 0:
                await asyncio.sleep(pause)
            tasks.create_task(send(uuid4()))
    await effects(ground, count)
    return [(row["at"] - accepted[row["id"]]) * 1000 for row in await ground.owner.fetch(COMMITTED)]
