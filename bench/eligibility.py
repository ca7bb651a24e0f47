"""Compare the evaluation of a drive in the running service with the same INSERT … SELECT in psql.

The service's time is from the claim of the job to the commit of its effect: selections, checksum, result event, job.
psql's time is from the arrival of the statement to its commit. Both use the database's clock, which dates a commit
before it is on disk.
"""

from bench.drives import CRITERIA, done_s, posted
from bench.pairs import paired, spread
from bench.results import Memory
from bench.sizes import Size
from bench.stage import Bench, Ground
from cli.demo.memory import watch_memory
from contracts.jobs import Service
from services.eligibility import sql

MIB = 1 << 20

# The seconds from the arrival of the INSERT to its commit.
TOOK_S = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - selected_at)::float8 FROM selections
 WHERE drive_id = $1 LIMIT 1
"""


def steps(size: Size) -> int:
    return 3 * 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    for name, rows in zip((None, "eligibility_100k", "eligibility_1m"), bench.size.rows, strict=True):
        async with bench.students(rows) as ground:
            await _measure(bench, ground, name, rows)


async def _measure(bench: Bench, ground: Ground, name: str | None, rows: int) -> None:
    process = ground.system.start("eligibility")
    drives: list[int] = []

    async def ours() -> float:
        await ground.settle()
        _, job_id = await posted(ground, CRITERIA)
        return await done_s(ground, Service.ELIGIBILITY, job_id)

    async def theirs() -> float:
        await ground.settle()
        # A new drive, like that of the service, so that its rows are at the end of the index.
        drives.append(await ground.owner.fetchval("SELECT nextval('drive_id_seq')::integer"))
        await ground.psql_s(insert(drives[-1]))
        took_s: float = await ground.owner.fetchval(TOOK_S, drives[-1])
        return took_s

    with watch_memory(process.rss_bytes) as memory:
        pairs = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.lines.setdefault("eligibility", []).append((rows, spread(pairs.ours).middle))
    if name is not None:
        bench.results.compare(name, pairs, "s")
    bench.results.memory.append(
        Memory("eligibility", f"{rows:,} students judged", memory.before / MIB, memory.maximum / MIB)
    )
    await ground.owner.execute("DELETE FROM selections WHERE drive_id = ANY ($1)", drives)


def insert(drive_id: int) -> str:
    """Return the service's INSERT without the checksum."""
    values = (drive_id, 1, CRITERIA.min_cgpa, CRITERIA.min_10th, CRITERIA.min_12th, CRITERIA.max_backlogs)
    meets = sql.MEETS.replace("$7", "NULL::text[]").replace("$8", "NULL::integer[]")
    for number, value in enumerate(values, 1):
        meets = meets.replace(f"${number}", str(value))
    return (
        "INSERT INTO selections (drive_id, student_id, selected_version, selected_at) "  # noqa: S608
        f"SELECT {drive_id}, s.student_id, 1, statement_timestamp() FROM students s WHERE {meets}"
    )
