"""Exports in tests: many registrations, a worker of the exporter, and a COPY by psql to compare with."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from chassis.jobs.worker import Worker
from chassis.storage import Storage
from contracts.jobs import Kind
from devstack.unprivileged import programs
from services.exporter import handlers
from tests.conftest import Api
from tests.support.bulk_students import ENROL
from tests.support.eventually import eventually
from tests.support.job_worker import working
from tests.support.system import System

AT_ONCE = 100_000

# Writes the streams, events and rows of registrations with one statement, without the API's rules.
REGISTER = """
WITH student AS MATERIALIZED (
    SELECT student_id, nextval('registration_id_seq')::integer AS id FROM students
     ORDER BY student_id LIMIT $2 OFFSET $3
), place AS MATERIALIZED (
    SELECT greatest(es.log_xid(), last_tx) AS tx FROM es.stream WHERE stream_id = 'drive-' || $1::integer
), head AS (
    INSERT INTO es.stream (stream_id, stream_type, version, last_tx)
    SELECT format('registration-%s-%s', $1::integer, student_id), 'registration', 1, tx FROM student, place
), written AS (
    INSERT INTO es.event AS e (tx, xid, stream_id, version, event_id, type, data, metadata)
    SELECT tx, es.log_xid(), format('registration-%s-%s', $1::integer, student_id), 1, uuidv7(),
           'placewire.registration.registered.v1',
           jsonb_build_object('registration_id', id, 'drive_id', $1::integer, 'student_id', student_id),
           '{"source": "test", "correlation_id": "00000000-0000-7000-8000-000000000000"}'
      FROM student, place
    RETURNING e
)
SELECT project('registration', array_agg(e)) FROM written
"""


async def register_many(
    owner: "asyncpg.Connection[asyncpg.Record]", drive_id: int, count: int, *, skip: int = 0
) -> None:
    """Register ``count`` students in the order of their ids, without the first ``skip`` students."""
    await owner.execute(REGISTER, drive_id, count, skip)
    await owner.execute("ANALYZE registrations, users, students")


async def crowded_drive(system: System, owner: "asyncpg.Connection[asyncpg.Record]", count: int) -> int:
    """Start the API, and create a drive with ``count`` new students who are registered. Return its id."""
    # Keep the ids apart from those with which tests sign in.
    await owner.execute("ALTER SEQUENCE user_id_seq RESTART 10000000")
    for _ in range(0, count, AT_ONCE):
        await owner.execute(ENROL, min(count, AT_ONCE))
    await owner.execute("ANALYZE students")
    system.start("api")
    async with system.client() as client:

        async def created() -> int | None:
            drive = await client.post("/api/drives", json={"company_name": "Acme", "job_title": "SDE"})
            return int(drive.json()["drive_id"]) if drive.status_code == 201 else None

        # The API refuses this caller, who has no account, until it receives notifications of changed accounts.
        drive_id = await eventually(created)
    assert drive_id is not None
    await register_many(owner, drive_id, count)
    return drive_id


@asynccontextmanager
async def exporting(
    database_url: str, folder: Path, *, tries: int = 2, kept_s: float = 3600, url: str | None = None, **options: Any
) -> AsyncIterator[Worker]:
    """Yield a worker of the exporter, with the storage of the ``api`` fixture. ``folder``: the test's ``tmp_path``."""
    storage = Storage(url or (folder / "uploads").as_uri())
    work = handlers.work(storage, tries=tries, kept_s=kept_s, zone=ZoneInfo("UTC"))
    async with working(database_url, work=work, kind=Kind.EXPORT, **options) as worker:
        yield worker


async def asked(api: Api, **body: Any) -> dict[str, Any]:
    answer = await api.post("/api/exports", json=body)
    assert answer.status_code in (200, 202), answer.text
    body_: dict[str, Any] = answer.json()
    return body_


def stored(folder: Path) -> list[str]:
    """Return the paths of all files below ``temp/``, relative to it. Includes partly written files."""
    temp = folder / "uploads" / "temp"
    return sorted(path.relative_to(temp).as_posix() for path in temp.rglob("*") if path.is_file())


async def recorded(owner: "asyncpg.Connection[asyncpg.Record]", export_id: str) -> str | None:
    """Return the path of the file to which the export refers, relative to ``temp/`` as in ``stored``."""
    path: str | None = await owner.fetchval("SELECT path FROM exports WHERE export_id = $1::uuid", export_id)
    return path and path.removeprefix("temp/")


async def psql_copy(database_url: str, query: str, into: Path) -> float:
    """Let psql copy ``query`` into a file. Return the duration in seconds."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        programs() / "psql", database_url, "-qX", "-c", f"\\copy ({' '.join(query.split())}) TO '{into}' CSV HEADER"
    )
    assert await process.wait() == 0
    return time.perf_counter() - began
