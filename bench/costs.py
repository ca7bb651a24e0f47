"""Measure the cost of repeated operations for each process: processor time, stored bytes, connections."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.stage import Ground
from devstack.processes import Process
from devstack.stack import Stack

CONNECTIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
 WHERE application_name LIKE 'placewire-%' AND datname = current_database() GROUP BY 1 ORDER BY 1
"""
# The size of the tables that keep rows for each event. The outbox is no such table: its rows are deleted.
KEPT = """
SELECT sum(pg_total_relation_size(c))::float8
  FROM unnest(ARRAY['es.stream', 'es.event', 'es.job']::regclass[]) c
"""


@dataclass(slots=True)
class CpuTimes:
    """Processor seconds of each part, user and system."""

    cpu_s: dict[str, float]


@contextmanager
def cpu_times_of(stack: Stack, processes: Sequence[Process]) -> Iterator[CpuTimes]:
    """Measure the processor time of ``processes`` and both servers until the block ends."""
    pids = {process.name: process.pid for process in processes}
    servers = {"postgres": stack.postgres.pid, "kafka": stack.kafka.pid}
    pids |= {name: pid for name, pid in servers.items() if pid is not None}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    times = CpuTimes({})
    yield times
    times.cpu_s = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process with its running and reaped children. Raises ``NoSuchProcess``."""
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its parent's ``children_user`` and ``children_system`` include it now
        total += times.user + times.system
    times = process.cpu_times()
    return float(total + times.children_user + times.children_system)


def bytes_below(folder: Path) -> int:
    """Return the disk space of the files below ``folder``. Kafka's indexes are sparse, and files may disappear."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


async def bytes_kept(ground: Ground) -> float:
    kept: float = await ground.owner.fetchval(KEPT)
    return kept


async def connections(ground: Ground) -> dict[str, int]:
    """Return the number of connections of each process, by application name."""
    return {row["application_name"]: row["count"] for row in await ground.owner.fetch(CONNECTIONS)}
