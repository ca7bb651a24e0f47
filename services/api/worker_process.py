"""Start and limit processes for work that would block the API's event loop for long."""

import asyncio
import os
import resource
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The scheduling priority (nice value) of work that no user waits for.
NICENESS = 10


async def start(module: str, *arguments: str, stdin: Any) -> asyncio.subprocess.Process:
    """Start ``python -m module`` and return its process. Standard output is a pipe; standard error is discarded.

    ``stdin``: as for ``asyncio.create_subprocess_exec``.
    """
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill ``process`` unless it has ended, and wait for its end."""
    if process.returncode is None:
        process.kill()
    await asyncio.shield(process.wait())


def limit_process(*, cpu_seconds: int, memory: int, niceness: int = NICENESS) -> None:
    """Limit this process to ``cpu_seconds`` and ``memory`` bytes, forbid it to write files, and lower its priority."""
    for limited, limit in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(limited)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(limited, (allowed, hard if limited == resource.RLIMIT_CPU else allowed))
    os.nice(niceness)
    adjust = Path("/proc/self/oom_score_adj")
    if adjust.exists() and os.access(adjust, os.W_OK):
        adjust.write_text("1000")  # if memory runs out, the kernel kills this process instead of the API
