"""Measure how long a refresh of the analytics views over the largest tables takes, and how much memory."""

from uuid import uuid4

from bench.drives import done_s, record
from bench.results import Memory
from bench.stage import Bench
from cli.demo.memory import watch_memory
from contracts.jobs import Service
from contracts.maintenance import RefreshCause, RefreshRequested

MIB = 1 << 20


async def run(bench: Bench) -> None:
    rows = bench.size.rows[-1]
    async with bench.students(rows) as ground:
        # No refresh for changed data: a refresh for the new students would also answer the request that is measured.
        process = ground.system.start("maintenance", REFRESH_AFTER_CHANGE_S="0")
        refresh_id = uuid4()
        event = RefreshRequested(refresh_id=refresh_id, cause=RefreshCause.REQUEST)
        [job_id] = await record(ground, f"refresh-{refresh_id}", event)
        with watch_memory(process.rss_bytes) as memory:
            took_s = await done_s(ground, Service.MAINTENANCE, job_id)
        bench.step()
    bench.results.note("refresh", f"every view, {rows:,} students", took_s, "s")
    bench.results.memory.append(Memory("maintenance", "every view", memory.before / MIB, memory.maximum / MIB))
