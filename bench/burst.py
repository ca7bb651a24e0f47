"""Measure how fast the relay sends a burst of events, and how fast workers finish the jobs that the events request.

The bench counts outbox rows and unfinished jobs four times a second, for a diagram. So the reported times from commit
to Kafka and to effect may be up to a quarter of a second too long.
"""

import asyncio
import time

from bench import placewire_jobs
from bench.costs import bytes_below, bytes_kept, connections, cpu_times_of
from bench.effects import WITHIN_S, JobSystem, clear_effects, effects, ready
from bench.results import Memory
from bench.stage import Bench, Ground
from cli.demo.memory import watch_memory
from devstack.stack import Stack

MIB = 1 << 20
EVERY_S = 0.25
NEWEST = "SELECT coalesce(max(id), 0) FROM es.outbox"
# Counts only rows that existed when the measurement began. Probes and the results of jobs are added later.
WAITING = "SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL AND id <= $1"
UNDONE = "SELECT count(*) FROM es.job WHERE service = 'maintenance' AND finished_at IS NULL"

Curve = list[tuple[float, int]]


async def run(bench: Bench) -> None:
    count = bench.size.burst
    async with bench.students(bench.size.rows[0]) as ground, placewire_jobs.system(ground) as system:
        await ready(ground, system)
        stack = await bench.servers.started()
        await _relay_alone(bench, ground, stack, system)
        await clear_effects(ground)
        postgres_bytes, kafka_bytes = await bytes_kept(ground), bytes_below(stack.kafka.data)
        relay, worker = system.processes
        with cpu_times_of(stack, ()) as appending:
            await system.queue(count)
        with (
            watch_memory(relay.rss_bytes) as relay_memory,
            watch_memory(worker.rss_bytes) as worker_memory,
            cpu_times_of(stack, system.processes) as doing,
        ):
            unsent, undone = await _watch_until_done(ground, count)
        await effects(ground, count)
        results = bench.results
        postgres_added = await bytes_kept(ground) - postgres_bytes
        results.note("cost", "postgres: kept", postgres_added / count, "bytes an event")
        results.note("cost", "kafka: kept", (bytes_below(stack.kafka.data) - kafka_bytes) / count, "bytes an event")
        for name, number in (await connections(ground)).items():
            results.note("cost", f"{name}: connections", number, "")
    bench.step()
    results.note("cost", "postgres: append", appending.cpu_s["postgres"] / count * 1e6, "us an event")
    for name, cpu_s in doing.cpu_s.items():
        results.note("cost", f"{name}: from commit to effect", cpu_s / count * 1e6, "us an event")
    results.curves |= {"not yet sent to Kafka": unsent, "not yet done": undone}
    results.note("burst", "commit to Kafka", count / _end_s(unsent), "events/s")
    results.note("burst", "commit to effect", count / _end_s(undone), "effects/s")
    for name, memory in (("relay", relay_memory), ("a worker", worker_memory)):
        results.memory.append(Memory(name, f"a burst of {count:,}", memory.before / MIB, memory.maximum / MIB))


async def _relay_alone(bench: Bench, ground: Ground, stack: Stack, system: JobSystem) -> None:
    """Measure the cost of sending alone. Suspend the worker, but so briefly that its consumer group keeps it."""
    count = bench.size.burst // 10
    relay, worker = system.processes
    await clear_effects(ground)
    relay.suspend()
    await system.queue(count)
    newest = await ground.owner.fetchval(NEWEST)
    worker.suspend()
    try:
        with cpu_times_of(stack, [relay]) as sending:
            began = time.perf_counter()
            relay.resume()
            async with asyncio.timeout(WITHIN_S):
                while await ground.owner.fetchval(WAITING, newest):
                    await asyncio.sleep(0.02)
            took_s = time.perf_counter() - began
    finally:
        worker.resume()
    bench.results.note("burst", "relay alone, commit to Kafka", count / took_s, "events/s")
    for name, cpu_s in sending.cpu_s.items():
        bench.results.note("cost", f"{name}: from commit to Kafka", cpu_s / count * 1e6, "us an event")
    await effects(ground, count)


async def _watch_until_done(ground: Ground, count: int) -> tuple[Curve, Curve]:
    """Return the numbers of unsent events and of unfinished jobs over time. Both end with 0."""
    began = time.perf_counter()
    newest = await ground.owner.fetchval(NEWEST)
    unsent, undone = [(0.0, count)], [(0.0, count)]
    async with asyncio.timeout(WITHIN_S):
        while undone[-1][1] or unsent[-1][1]:
            await asyncio.sleep(EVERY_S)
            at = time.perf_counter() - began
            unsent.append((at, await ground.owner.fetchval(WAITING, newest)))
            undone.append((at, await ground.owner.fetchval(UNDONE)))
    return unsent, undone


def _end_s(curve: Curve) -> float:
    return next(at for at, remaining in curve if not remaining)
