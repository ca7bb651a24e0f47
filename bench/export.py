"""Compare an export of a drive's registrations as CSV in the running exporter with the same COPY by psql into a file.

The exporter's time is from the claim of the job to the commit that records the file; psql's time is that of its COPY.
"""

from pathlib import Path
from uuid import uuid4

from bench.drives import done_s, posted, record
from bench.pairs import paired, spread
from bench.results import Memory
from bench.sizes import Size
from bench.stage import Bench, Ground
from cli.demo.memory import watch_memory
from contracts.drives import Criteria
from contracts.exports import COLUMNS, ExportFormat, ExportKind, ExportRequested
from contracts.jobs import Service
from services.exporter.sql import csv_query
from tests.support.exporting import register_many

MIB = 1 << 20
MAY_GROW_MIB = 64


def steps(size: Size) -> int:
    return 3 * 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    for name, rows in zip((None, None, "export_csv_1m"), bench.size.rows, strict=True):
        async with bench.students(rows) as ground:
            drive_id = await drive_with_all_registered(ground, rows)
            await _measure(bench, ground, name, rows, drive_id)


async def drive_with_all_registered(ground: Ground, rows: int) -> int:
    """Create a drive for which every student is registered, and return its id."""
    drive_id, _ = await posted(ground, Criteria(), auto_published=True)
    await register_many(ground.owner, drive_id, rows)
    await ground.owner.execute("VACUUM registrations")
    return drive_id


async def _measure(bench: Bench, ground: Ground, name: str | None, rows: int, drive_id: int) -> None:
    process = ground.system.start("exporter")
    psql_file = ground.folder / "psql.csv"

    async def ours() -> float:
        await ground.settle()
        [job_id] = await record(ground, *requested_export(drive_id))
        return await done_s(ground, Service.EXPORTER, job_id)

    async def theirs() -> float:
        await ground.settle()
        return await ground.psql_s(copy(drive_id, psql_file))

    with watch_memory(process.rss_bytes) as memory:
        pairs = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.lines.setdefault("export", []).append((rows, spread(pairs.ours).middle))
    if name is not None:
        bench.results.compare(name, pairs, "s")
    bench.results.memory.append(
        Memory("exporter", f"{rows:,} rows as CSV", memory.before / MIB, memory.maximum / MIB, MAY_GROW_MIB)
    )


def requested_export(drive_id: int) -> tuple[str, ExportRequested]:
    """Return the stream and the event of a new export."""
    export_id = uuid4()
    event = ExportRequested(
        export_id=export_id,
        kind=ExportKind.REGISTRATIONS,
        format=ExportFormat.CSV,
        drive_id=drive_id,
        columns=list(COLUMNS[ExportKind.REGISTRATIONS]),
    )
    return f"export-{export_id}", event


def copy(drive_id: int, into: Path) -> str:
    """Return psql's command that writes the same file as the service."""
    query = " ".join(csv_query(requested_export(drive_id)[1]).split())
    return f"\\copy ({query}) TO '{into}' CSV HEADER"
