"""A file of students into an empty database: the running API against psql's COPY of the rows that it wrote.

The import is measured from request to answer: upload, reading, checks, events, read tables in one transaction. psql's
figure is the COPY of the same rows into the same tables with their indexes, one transaction for each table.
"""

import asyncio
import time
from pathlib import Path

import httpx

from bench.pairs import paired, spread
from bench.results import Memory
from bench.sizes import Size
from bench.stage import Bench, Ground
from cli.demo.memory import watch_memory
from cli.sample import student_file
from devstack.ports import LOOPBACK
from tests.support.system import bearer

MIB = 1 << 20
# The tables that an import of new students writes.
TABLES = ("es.stream", "es.event", "vault.person", "users", "students")
# TRUNCATE needs the triggers that keep the log append-only to be off.
EMPTY = """
SET session_replication_role = replica;
TRUNCATE es.stream, es.event, es.outbox, es.job, vault.person, users, students;
RESET session_replication_role
"""
TIMEOUT_S = 900


def steps(size: Size) -> int:
    return 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    rows = bench.size.rows[-1]
    async with bench.empty("imported") as ground:
        process = ground.system.start("api")
        file = ground.folder / "students.csv"
        await asyncio.to_thread(student_file.write, file, rows)

        async def ours() -> float:
            await _emptied(ground)
            return await _import_s(ground, file, rows)

        async def theirs() -> float:
            copies = {table: ground.folder / f"{table}.copy" for table in TABLES}
            for table, copy in copies.items():
                await ground.psql_s(rf"\copy {table} TO '{copy}'")
            await _emptied(ground)
            return sum([await ground.psql_s(rf"\copy {table} FROM '{copy}'") for table, copy in copies.items()])

        with watch_memory(process.rss_bytes) as memory:
            found = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
        await ground.owner.execute(EMPTY)
    bench.results.compare("import_1m", found, "s")
    bench.results.note("import", f"{rows:,} students, request to answer", spread(found.ours).middle, "s")
    bench.results.memory.append(Memory("api", f"{rows:,} students imported", memory.before / MIB, memory.maximum / MIB))


async def _emptied(ground: Ground) -> None:
    await ground.owner.execute(EMPTY)
    await ground.settle()


async def _import_s(ground: Ground, file: Path, rows: int) -> float:
    """Import ``file`` and return the seconds it took. Raises ``AssertionError`` with the answer when it is refused."""
    url = f"http://{LOOPBACK}:{ground.system.ports['api']}/api/students/import?dry_run=false"
    began = time.perf_counter()
    answer = await asyncio.to_thread(_sent, url, file)
    took_s = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    assert answer.json()["imported"] == rows, answer.text
    return took_s


def _sent(url: str, file: Path) -> httpx.Response:
    with file.open("rb") as content:
        return httpx.post(url, files={"file": (file.name, content)}, headers=bearer(), timeout=TIMEOUT_S)
