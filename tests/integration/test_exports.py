"""Exports over HTTP and through the exporter's runner: what is asked for, what the file holds, who gets it."""

import csv
import hashlib
import io
from pathlib import Path

import asyncpg

from contracts.jobs import State
from tests.conftest import Api
from tests.enrolment import enrol
from tests.exporting import asked, exporting, register_many, stored
from tests.placement import posted
from tests.worker import done

Owner = asyncpg.Connection


async def test_registrations_become_a_csv(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    ids = await enrol(owner, 50)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 50)
    export = await asked(api, kind="registrations", drive_id=drive_id, columns=["name", "student_id", "cgpa"])
    assert (export["state"], export["job"]["state"], export["file"]) == ("requested", "queued", None)
    async with exporting(database_url, tmp_path) as runner:
        [job] = await done(runner, export["export_id"])
    assert job.state is State.SUCCEEDED, job.error
    found = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (found["state"], found["rows"]) == ("completed", 50)
    answer = await api.get(found["file"])
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == found["sha256"]
    assert len(answer.content) == found["size_bytes"] == int(answer.headers["Content-Length"])
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["name", "student_id", "cgpa"]
    assert [int(row[1]) for row in rows[1:]] == ids
    assert len(stored(tmp_path)) == 1
