"""Many small jobs queued by one commit: the time until the last effect, ours against Procrastinate's and PgQueuer's."""

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
        placewire_jobs.system(ground) as mine,
        procrastinate_jobs.system(ground) as peer,
        pgqueuer_jobs.system(ground) as other,
    ):
        systems = (mine, peer, other)
        await ready(ground, *systems)
        sides = [partial(drained_s, ground, one, count) for one in systems]
        taken = await alternated(*sides, rounds=bench.size.pairs, step=bench.step)
    bench.results.compare("effect_drain", Pairs(taken[0], taken[1]), "s")
    bench.results.compare("effect_drain_pgqueuer", Pairs(taken[0], taken[2]), "s")
    for system, took in zip(systems, taken, strict=True):
        bench.results.note("effect_drain", f"{system.name}, {count:,} jobs", count / spread(took).middle, "effects/s")
