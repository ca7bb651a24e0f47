"""Compare two ways to fill an empty database with students: an import by the API, and psql's COPY of the same rows.

The time of the import is from request to response: upload, reading, checks, events and read tables in one transaction.
psql's time is that of COPY into the same tables with their indexes, in one transaction for each table.
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
# The triggers that keep the log append-only must be off for TRUNCATE.
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
            await _empty_tables(ground)
            return await _import_s(ground, file, rows)

        async def theirs() -> float:
            copies = {table: ground.folder / f"{table}.copy" for table in TABLES}
            for table, copy in copies.items():
                await ground.psql_s(rf"\copy {table} TO '{copy}'")
            await _empty_tables(ground)
            return sum([await ground.psql_s(rf"\copy {table} FROM '{copy}'") for table, copy in copies.items()])

        with watch_memory(process.rss_bytes) as memory:
            pairs = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
        await ground.owner.execute(EMPTY)
    bench.results.compare("import_1m", pairs, "s")
    bench.results.note("import", f"{rows:,} students, request to answer", spread(pairs.ours).middle, "s")
    bench.results.memory.append(Memory("api", f"{rows:,} students imported", memory.before / MIB, memory.maximum / MIB))


async def _empty_tables(ground: Ground) -> None:
    await ground.owner.execute(EMPTY)
    await ground.settle()


async def _import_s(ground: Ground, file: Path, rows: int) -> float:
    """Import ``file`` and return the seconds it took. Raises ``AssertionError`` with the response if it is refused."""
    url = f"http://{LOOPBACK}:{ground.system.ports['api']}/api/students/import?dry_run=false"
    began = time.perf_counter()
    response = await asyncio.to_thread(_post, url, file)
    took_s = time.perf_counter() - began
    assert response.status_code == 200, response.text
    assert response.json()["imported"] == rows, response.text
    return took_s


def _post(url: str, file: Path) -> httpx.Response:
    with file.open("rb") as content:
        return httpx.post(url, files={"file": (file.name, content)}, headers=bearer(), timeout=TIMEOUT_S)
