"""Who is selected for a drive: the running service against the same INSERT … SELECT in psql.

Ours is from the receipt of the event to the commit of its effect, by the database's clock: selections, their seal, the
result event, the job. psql's is the statement alone, as psql times it.
"""

from itertools import count

from bench.drives import CRITERIA, done_s, posted
from bench.pairs import paired, spread
from bench.results import Memory
from bench.stage import Bench, Ground
from cli.demo.memory import watched
from contracts.jobs import Service
from services.eligibility import sql

MIB = 1 << 20
# Drives of psql's, far above ours: the same table, the same end of its index.
FIRST_OF_PSQL = 1_000_000_000


def steps(pairs: int) -> int:
    return 3 * 2 * (pairs + 1)


async def run(bench: Bench) -> None:
    for name, rows in zip((None, "eligibility_100k", "eligibility_1m"), bench.size.rows, strict=True):
        async with bench.students(rows) as ground:
            await _measure(bench, ground, name, rows)


async def _measure(bench: Bench, ground: Ground, name: str | None, rows: int) -> None:
    process = ground.system.start("eligibility")
    drives = count(FIRST_OF_PSQL)

    async def ours() -> float:
        await ground.settle()
        _, job_id = await posted(ground, CRITERIA)
        return await done_s(ground, Service.ELIGIBILITY, job_id)

    async def theirs() -> float:
        await ground.settle()
        return await ground.psql_s(insert(next(drives)))

    with watched(process.rss_bytes) as memory:
        found = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.lines.setdefault("eligibility", []).append((rows, spread(found.ours).middle))
    if name is not None:
        bench.results.compare(name, found, "s")
    bench.results.memory.append(
        Memory("eligibility", f"{rows:,} students judged", memory.before / MIB, memory.most / MIB)
    )
    await ground.owner.execute("DELETE FROM selections WHERE drive_id >= $1", FIRST_OF_PSQL)


def insert(drive_id: int) -> str:
    """The statement of the service, without its seal."""
    values = (drive_id, 1, CRITERIA.min_cgpa, CRITERIA.min_10th, CRITERIA.min_12th, CRITERIA.max_backlogs)
    meets = sql.MEETS.replace("$7", "NULL::text[]").replace("$8", "NULL::integer[]")
    for number, value in enumerate(values, 1):
        meets = meets.replace(f"${number}", str(value))
    return (
        "INSERT INTO selections (drive_id, student_id, selected_version, selected_at) "  # noqa: S608
        f"SELECT {drive_id}, s.student_id, 1, statement_timestamp() FROM students s WHERE {meets}"
    )
