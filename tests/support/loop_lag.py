"""How long the event loop was blocked, whatever else the machine is busy with."""

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
            # Another process's turn on the CPU is no fault of ours: then this process used no time of it.
            self.worst_s = max(self.worst_s, min(late, time.process_time() - cpu))


@asynccontextmanager
async def loop_lag() -> AsyncIterator[LoopLag]:
    """Watch the loop while the block lasts. What exists is kept from the garbage collector, as in our processes.

    It stays so afterwards: to look at the whole heap of a run of tests takes seconds, each time.
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
