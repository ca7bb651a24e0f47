"""A burst of events that each ask for a job: how fast the relay sends them and the consumer has them done.

What waits in the outbox, and what is not done yet, is counted four times a second and drawn.
"""

import asyncio
import time

from bench import placewire_jobs
from bench.effects import WITHIN_S, cleared, effects, ready
from bench.results import Memory
from bench.stage import Bench
from cli.demo.memory import watched

MIB = 1 << 20
EVERY_S = 0.25
# Canaries come and go.
WAITING = "SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL"
UNDONE = "SELECT count(*) FROM es.job WHERE service = 'maintenance' AND finished_at IS NULL"


async def run(bench: Bench) -> None:
    count = bench.size.burst
    async with bench.students(bench.size.rows[0]) as ground, placewire_jobs.system(ground) as system:
        await ready(ground, system)
        await cleared(ground)
        relay, worker = system.processes
        for process in system.processes:
            process.suspend()
        try:
            await system.queue(count)
            await ground.settle()
        finally:
            for process in system.processes:
                process.resume()
        began = time.perf_counter()
        unsent, undone = [(0.0, count)], [(0.0, count)]
        with watched(relay.rss_bytes) as of_relay, watched(worker.rss_bytes) as of_worker:
            async with asyncio.timeout(WITHIN_S):
                while undone[-1][1]:
                    await asyncio.sleep(EVERY_S)
                    at = time.perf_counter() - began
                    unsent.append((at, await ground.owner.fetchval(WAITING)))
                    undone.append((at, await ground.owner.fetchval(UNDONE)))
        await effects(ground, count)
    bench.step()
    bench.results.curves |= {"not yet sent to Kafka": unsent, "not yet done": undone}
    sent_s = next(at for at, left in unsent if not left)
    bench.results.note("burst", "commit to Kafka", count / sent_s, "events/s")
    bench.results.note("burst", "commit to effect", count / undone[-1][0], "effects/s")
    work = f"a burst of {count:,}"
    bench.results.memory += [
        Memory("relay", work, of_relay.before / MIB, of_relay.most / MIB),
        Memory("a worker", work, of_worker.before / MIB, of_worker.most / MIB),
    ]
