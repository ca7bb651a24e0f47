"""Compare the time to finish many small jobs, queued in one transaction, with Procrastinate and PgQueuer."""

from functools import partial

from bench import pgqueuer_jobs, placewire_jobs, procrastinate_jobs
from bench.effects import drained_s, ready
from bench.pairs import Pairs, alternated, spread
from bench.sizes import Size
from bench.stage import Bench


def steps(size: Size) -> int:
    return 3 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    count = bench.size.jobs
    async with (
        bench.students(bench.size.rows[0]) as ground,
        placewire_jobs.system(ground) as placewire,
        procrastinate_jobs.system(ground) as procrastinate,
        pgqueuer_jobs.system(ground) as pgqueuer,
    ):
        systems = (placewire, procrastinate, pgqueuer)
        await ready(ground, *systems)
        sides = [partial(drained_s, ground, system, count) for system in systems]
        times_s = await alternated(*sides, rounds=bench.size.pairs, step=bench.step)
    bench.results.compare("effect_drain", Pairs(times_s[0], times_s[1]), "s")
    bench.results.compare("effect_drain_pgqueuer", Pairs(times_s[0], times_s[2]), "s")
    for system, time_s in zip(systems, times_s, strict=True):
        bench.results.note("effect_drain", f"{system.name}, {count:,} jobs", count / spread(time_s).middle, "effects/s")
