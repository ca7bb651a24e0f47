"""Measure how long the event loop was blocked. Time of other processes on the CPU is not counted."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK_S = 0.002


class LoopLag:
    worst_s = 0.0

    async def watch(self) -> None:
        while True:
            wall, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(TICK_S)
            late = time.monotonic() - wall - TICK_S
            # Counts only CPU time of this process, so not the time during which another process had the CPU.
            self.worst_s = max(self.worst_s, min(late, time.process_time() - cpu))


@asynccontextmanager
async def loop_lag() -> AsyncIterator[LoopLag]:
    """Measure the lag of the loop until the block ends.

    Existing objects are excluded from garbage collection, as in our processes. They stay excluded afterwards, because
    each collection of the whole heap of a test run takes seconds.
    """
    gc.collect()
    gc.freeze()
    lag = LoopLag()
    watching = asyncio.create_task(lag.watch())
    try:
        yield lag
    finally:
        watching.cancel()
        await asyncio.wait([watching])
