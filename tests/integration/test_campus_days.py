"""Days begin at midnight of the campus, also on days when clocks change."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from chassis.postgres.database import Database
from contracts.users import Role
from services.api.finished_drives.period import months_before, period
from services.api.main import create_app
from services.maintenance import sql as maintenance
from tests.support.service_settings import api_settings
from tests.support.system import as_role, bearer

# A zone, moments before and after a local midnight, and the days of these moments. In most zones, clocks change on one
# of the two days. That day has no midnight in Cairo, and two in Havana.
SIDES = [
    ("Asia/Kolkata", "2026-03-01T18:29:59Z", "2026-03-01T18:30:00Z", "2026-03-01", "2026-03-02"),
    ("America/New_York", "2026-03-09T03:59:59Z", "2026-03-09T04:00:00Z", "2026-03-08", "2026-03-09"),
    ("America/New_York", "2026-11-02T04:59:59Z", "2026-11-02T05:00:00Z", "2026-11-01", "2026-11-02"),
    ("Europe/Berlin", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z", "2026-03-29", "2026-03-30"),
    ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z", "2026-10-25", "2026-10-26"),
    ("Africa/Cairo", "2026-04-23T21:59:59Z", "2026-04-23T22:00:00Z", "2026-04-23", "2026-04-24"),
    ("America/Havana", "2026-11-01T03:59:59Z", "2026-11-01T04:00:00Z", "2026-10-31", "2026-11-01"),
    ("UTC", "2026-05-01T23:59:59Z", "2026-05-02T00:00:00Z", "2026-05-01", "2026-05-02"),
]
DRIVE = """
INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                    auto_published, attendance_published)
VALUES ($1, 1, 'Acme', 'SDE', '', 1, $2, 'finished', false, true)
"""
FINISHED = """
INSERT INTO finished_drives (drive_id, finished_date, total_registered, total_present, total_absent, company_name,
                             job_title)
VALUES ($1, $2, 1, 1, 0, 'Acme', 'SDE')
"""
MARK = "INSERT INTO attendance (attendance_id, drive_id, student_id, status) VALUES ($1, $1, 7, 'PRESENT')"


@pytest.fixture
async def campus(database_url: str, tmp_path: Path, zone: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an API in the time zone ``zone``. The client is signed in as HEAD."""
    app = create_app(api_settings(database_url, tmp_path, tz=zone))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://api", headers=bearer(Role.HEAD)
        ) as client,
    ):
        yield client


async def json_of(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refresh(database_url: str) -> datetime:
    database = Database(as_role(database_url, "placewire_maintenance"), pool_size=2, application_name="test")
    try:
        as_of, _ = await maintenance.refresh_all(database)
    finally:
        await database.close()
    return as_of


@pytest.mark.damages
@pytest.mark.parametrize(("zone", "before", "after", "first_day", "second_day"), SIDES)
async def test_a_day_ends_at_the_midnight_of_the_campus(
    campus: httpx.AsyncClient,
    owner: "asyncpg.Connection[asyncpg.Record]",
    database_url: str,
    before: str,
    after: str,
    first_day: str,
    second_day: str,
) -> None:
    for drive_id, moment in ((1, before), (2, after)):
        await owner.execute(DRIVE, drive_id, datetime.fromisoformat(moment))
        await owner.execute(FINISHED, drive_id, datetime.fromisoformat(moment))
        await owner.execute(MARK, drive_id)
    await refresh(database_url)
    series = await json_of(campus, "/api/analytics/drives-over-time", days=3650)
    assert series == [{"day": first_day, "count": 1}, {"day": second_day, "count": 1}]
    trend = await json_of(campus, "/api/analytics/attendance-trend", days=3650)
    assert [row["day"] for row in trend] == [first_day, second_day]

    async def ids(**query: str) -> list[int]:
        return [row["drive_id"] for row in await json_of(campus, "/api/finished-drives", **query)]

    assert await ids(start_date=first_day, end_date=first_day) == [1]
    assert await ids(start_date=second_day, end_date=second_day) == [2]
    assert await ids(end_date=second_day) == [2, 1]
    assert await ids(start_date="0001-01-01", end_date="9999-12-31") == [2, 1]


@pytest.mark.damages
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
async def test_the_window_begins_with_a_whole_day_of_the_campus(
    campus: httpx.AsyncClient, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str, zone: str
) -> None:
    first = "(date_trunc('day', now() AT TIME ZONE $1) - interval '7 days') AT TIME ZONE $1"
    for drive_id, shift in ((1, "- interval '1 second'"), (2, "+ interval '0 seconds'")):
        moment = await owner.fetchval(f"SELECT {first} {shift}", zone)
        await owner.execute(DRIVE, drive_id, moment)
    await refresh(database_url)
    summary = await json_of(campus, "/api/analytics/summary", days=7)
    assert summary["total_drives"] == 1
    assert len(await json_of(campus, "/api/analytics/drives-over-time", days=8)) == 2


def test_subtracted_months_end_at_the_last_day_of_a_short_month() -> None:
    assert months_before(date(2026, 3, 31), 1) == date(2026, 2, 28)
    assert months_before(date(2026, 1, 15), 1) == date(2025, 12, 15)
    assert months_before(date(2028, 3, 31), 25) == date(2026, 2, 28)


def test_an_explicit_start_overrides_the_number_of_months() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    both = period(3, date(2026, 4, 1), date(2026, 4, 2), zone=zone, today=date(2026, 6, 15))
    assert both.begins == datetime(2026, 4, 1, tzinfo=zone)
    assert both.ends == datetime(2026, 4, 3, tzinfo=zone)
    assert period(3, None, None, zone=zone, today=date(2026, 6, 15)).begins == datetime(2026, 3, 15, tzinfo=zone)
