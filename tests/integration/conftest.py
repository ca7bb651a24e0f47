"""A database that holds every kind of event, for tests of verify and rebuild, and an empty database."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio

from cli.local.settings import named
from cli.sample import seeding
from devstack.stack import Addresses
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.job_worker import done, working

Owner = asyncpg.Connection
HEAD, COORDINATOR = 1, 2  # user ids of the sample people
QUEUED = "SELECT id FROM es.job WHERE state = 'queued' ORDER BY seq"
LAST_SELECTED = "SELECT max(student_id) FROM selections WHERE drive_id = 1 AND revoked_version IS NULL"
CSV = "name,email,roll_number,cgpa\nA B,a.b@college.edu,CSV-1,8.5\nC D,c.d@college.edu,CSV-2,\n"


async def created(api: Api, *, auto_calc: bool) -> dict[str, Any]:
    answer = await api.post("/api/drives", "HEAD", HEAD, json={**DRIVE, "auto_calc": auto_calc})
    assert answer.status_code in (201, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest_asyncio.fixture
async def sound(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> AsyncIterator[str]:
    """Return a database in which each kind of event happened. Tests damage the rows of student 101 and drive 1."""
    await seeding.seed(api.database)
    await enrol(owner, 300)
    imported = await api.post(
        "/api/students/import?dry_run=false", "HEAD", HEAD, files={"file": ("a.csv", CSV, "text/csv")}
    )
    assert imported.status_code == 200, imported.text
    assert (await api.patch("/api/students/50", "HEAD", HEAD, json={"cgpa": "9.99"})).status_code == 200
    assert (
        await api.patch("/api/users/3", "HEAD", HEAD, json={"role": "COORDINATOR", "password": "another one"})
    ).status_code == 200
    drives = [await created(api, auto_calc=auto) for auto in (True, False, True)]
    async with working(database_url) as worker:

        async def revised(student_id: int, cgpa: str) -> None:
            answer = await api.patch(f"/api/students/{student_id}", "HEAD", HEAD, json={"cgpa": cgpa})
            assert answer.status_code == 200, answer.text
            await done(worker, *[row["id"] for row in await owner.fetch(QUEUED)])

        await done(worker, drives[0]["job"]["id"], drives[2]["job"]["id"])
        answer = await api.post("/api/drives/1/publish", "HEAD", HEAD, json={"selected_students": [4, 5]})
        await done(worker, answer.json()["job"]["id"])
        for cgpa in ("1.00", "9.00"):
            await revised(4, cgpa)
        answer = await api.post("/api/drives/1/publish", "HEAD", HEAD)
        await done(worker, answer.json()["job"]["id"])
        await revised(await owner.fetchval(LAST_SELECTED), "1.50")
    assert (await api.post("/api/drives/1/stop-registrations", "COORDINATOR", COORDINATOR)).status_code == 200
    assert (await api.delete("/api/drives/3", "HEAD", HEAD)).status_code == 200
    yield database_url


@pytest_asyncio.fixture
async def empty_url(servers: Addresses) -> AsyncIterator[str]:
    """Return the address of an empty database, for the superuser."""
    name = f"empty_{uuid4().hex}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    yield named(servers.database_url, name)
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()
