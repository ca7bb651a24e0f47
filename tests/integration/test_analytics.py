"""Analytics after a refresh agree with plain counts. Also: time windows, invalid queries, conditional requests."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import asyncpg
import pytest

from chassis.postgres.database import Database
from services.maintenance import sql as maintenance
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.system import as_role

Owner = asyncpg.Connection
SERIES = ("summary", "drives-over-time", "registrations-by-drive", "attendance-trend")

# Twelve drives in all states, created every five days up to now. Some of the students are registered and marked.
SEASON = """
INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                    auto_published, attendance_published, min_cgpa)
SELECT i, 1, 'Company ' || i, 'Job ' || i, '', 1, clock_timestamp() - i * interval '5 days' + interval '1 hour',
       (ARRAY['pending', 'posted', 'attending', 'finished'])[1 + i % 4], false, i % 4 = 3, 5
  FROM generate_series(1, 12) i;
INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
SELECT row_number() OVER (), d.drive_id, s.student_id, clock_timestamp()
  FROM drives d JOIN students s ON s.student_id % (d.drive_id + 1) = 0 WHERE d.status <> 'pending';
INSERT INTO attendance (attendance_id, drive_id, student_id, status)
SELECT row_number() OVER (), r.drive_id, r.student_id, CASE WHEN r.student_id % 3 = 0 THEN 'ABSENT' ELSE 'PRESENT' END
  FROM registrations r JOIN drives d USING (drive_id) WHERE d.status IN ('attending', 'finished');
INSERT INTO evaluations (drive_id, drive_version, job_id, applied, eligible, selected, evaluated_at)
SELECT drive_id, 1, gen_random_uuid(), true, 100 + drive_id, 50 + drive_id, clock_timestamp()
  FROM drives WHERE status <> 'pending';
"""


@pytest.fixture
async def maintainer(database_url: str) -> AsyncIterator[Database]:
    """Return a database that is logged in as the role of maintenance, which may only refresh views."""
    database = Database(
        as_role(database_url, "placewire_maintenance"), pool_size=4, application_name="test-maintenance"
    )
    yield database
    await database.close()


def percent(part: int, total: int) -> int:
    """Return the percentage, with half a percent rounded up."""
    return (200 * part + total) // (2 * total)


async def figures(api: Api, series: str, **query: Any) -> Any:
    answer = await api.get(f"/api/analytics/{series}", "COORDINATOR", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_before_the_first_refresh_all_series_are_empty(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    summary = await figures(api, "summary")
    as_of = summary.pop("as_of")
    assert datetime.fromisoformat(as_of) < datetime.now(UTC)
    assert as_of.endswith("Z")
    assert summary == dict.fromkeys(
        ("total_drives", "posted", "ongoing", "finished", "registrations", "attendance_rate_percent"), 0
    )
    assert [await figures(api, series) for series in SERIES[1:]] == [[], [], []]


@pytest.mark.damages
@pytest.mark.parametrize("days", [1, 7, 30, 3650])
async def test_every_series_equals_plain_counts(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database, days: int
) -> None:
    await enrol(owner, 200)
    await owner.execute(SEASON)
    as_of, _ = await maintenance.refresh_all(maintainer)
    rows = await owner.fetch(
        """
        SELECT d.drive_id, d.company_name, d.job_title, d.status,
               to_char(d.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
               (SELECT count(*) FROM registrations r WHERE r.drive_id = d.drive_id) AS registrations,
               (SELECT count(*) FROM attendance a WHERE a.drive_id = d.drive_id AND status = 'PRESENT') AS present,
               (SELECT count(*) FROM attendance a WHERE a.drive_id = d.drive_id) AS marked
          FROM drives d WHERE d.created_at >= $1::timestamptz - make_interval(days => $2) ORDER BY created_at
        """,
        as_of, days,
    )  # fmt: skip
    assert len(rows) == {1: 0, 7: 1, 30: 6, 3650: 12}[days]
    marked = sum(row["marked"] for row in rows)
    summary = await figures(api, "summary", days=days)
    assert datetime.fromisoformat(summary.pop("as_of")) == as_of.replace(microsecond=as_of.microsecond // 1000 * 1000)
    assert summary == {
        "total_drives": len(rows),
        "posted": sum(row["status"] in ("pending", "posted") for row in rows),
        "ongoing": sum(row["status"] == "attending" for row in rows),
        "finished": sum(row["status"] == "finished" for row in rows),
        "registrations": sum(row["registrations"] for row in rows),
        "attendance_rate_percent": percent(sum(row["present"] for row in rows), marked) if marked else 0,
    }
    assert await figures(api, "drives-over-time", days=days, force="true") == [
        {"day": row["day"], "count": 1} for row in rows
    ]
    by_drive = [
        {name: row[name] for name in ("drive_id", "company_name", "job_title", "registrations")}
        for row in sorted(rows, key=lambda row: (-row["registrations"], row["drive_id"]))
    ]
    assert await figures(api, "registrations-by-drive", days=days, limit=100) == by_drive
    assert await figures(api, "registrations-by-drive", days=days) == by_drive[:10]
    assert await figures(api, "attendance-trend", days=days) == [
        {"day": row["day"], "percent": percent(row["present"], row["marked"])} for row in rows if row["marked"]
    ]


@pytest.mark.damages
async def test_the_series_can_be_limited_to_one_drive(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    await enrol(owner, 200)
    await owner.execute(SEASON)
    await maintenance.refresh_all(maintainer)
    count = await owner.fetchval("SELECT count(*) FROM registrations WHERE drive_id = 3")
    summary = await figures(api, "summary", drive_id=3)
    assert (summary["total_drives"], summary["finished"], summary["registrations"]) == (1, 1, count)
    assert [row["count"] for row in await figures(api, "drives-over-time", drive_id=3)] == [1]
    assert [row["registrations"] for row in await figures(api, "registrations-by-drive", drive_id=3)] == [count]
    assert len(await figures(api, "attendance-trend", drive_id=3)) == 1
    assert (await figures(api, "summary", drive_id=999))["total_drives"] == 0
    assert await figures(api, "drives-over-time", drive_id=999) == []
    assert len(await figures(api, "drives-over-time", drive_id="", days=100)) == 12, "an empty field is ignored"


@pytest.mark.damages
async def test_the_other_views_equal_plain_counts(owner: "Owner[asyncpg.Record]", maintainer: Database) -> None:
    await enrol(owner, 200)
    await owner.execute("UPDATE students SET branch = NULL WHERE student_id % 10 = 0")
    await owner.execute("UPDATE students SET branch = ' ' || lower(branch) WHERE student_id % 7 = 0")
    await owner.execute(SEASON)
    await maintenance.refresh_all(maintainer)
    plain = await owner.fetch(
        """
        SELECT upper(btrim(coalesce(branch, ''))) AS branch, count(*) AS students,
               count(*) FILTER (WHERE cgpa >= 5) AS eligible,
               count(*) FILTER (WHERE student_id IN (SELECT student_id FROM registrations)) AS registered,
               count(*) FILTER (WHERE student_id IN (
                   SELECT student_id FROM attendance WHERE status = 'PRESENT')) AS present
          FROM students GROUP BY 1 ORDER BY 1
        """
    )
    assert await owner.fetch("SELECT * FROM branch_counts ORDER BY branch") == plain
    funnel = await owner.fetch(
        """
        SELECT drive_id, eligible, selected, registered, present FROM drive_funnel ORDER BY drive_id
        """
    )
    for row in funnel:
        pending = row["drive_id"] % 4 == 0
        assert (row["eligible"], row["selected"]) == (
            (0, 0) if pending else (100 + row["drive_id"], 50 + row["drive_id"])
        )
        assert row["registered"] == await owner.fetchval(
            "SELECT count(*) FROM registrations WHERE drive_id = $1", row["drive_id"]
        )
        assert row["present"] == await owner.fetchval(
            "SELECT count(*) FROM attendance WHERE status = 'PRESENT' AND drive_id = $1", row["drive_id"]
        )


# Criteria that are stricter, looser, incomparable, open on one side, or equal in another order, and a pending drive.
CRITERIA = """
INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                    auto_published, attendance_published, min_cgpa, min_10th, max_backlogs, branches, batch_years)
VALUES (1, 1, '', '', '', 1, now(), 'posted', false, false, 9, NULL, NULL, NULL, NULL),
       (2, 1, '', '', '', 1, now(), 'posted', false, false, 9.5, 60, NULL, NULL, NULL),
       (3, 1, '', '', '', 1, now(), 'finished', false, false, NULL, 90, 0, '{CSE,ECE}', NULL),
       (4, 1, '', '', '', 1, now(), 'finished', false, false, NULL, 90, 0, '{ECE,CSE}', NULL),
       (5, 1, '', '', '', 1, now(), 'posted', false, false, NULL, 95, 0, '{CSE}', '{2026}'),
       (6, 1, '', '', '', 1, now(), 'posted', false, false, 7, 70, 1, '{ME}', '{2026,2027}'),
       (7, 1, '', '', '', 1, now(), 'attending', false, false, 7, 70, 1, '{ME}', '{2027,2026}'),
       (8, 1, '', '', '', 1, now(), 'pending', false, false, NULL, NULL, NULL, NULL, NULL)
"""
ELIGIBLE_FOR_ANY = """
SELECT count(*) FROM students s WHERE EXISTS (
    SELECT FROM drives d
     WHERE d.status <> 'pending'
       AND meets_criteria(marks_of(s), criteria_of(d)))
"""


@pytest.mark.damages
async def test_a_student_who_meets_any_published_drives_criteria_is_counted_once(
    owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    await enrol(owner, 2000)
    await owner.execute(CRITERIA)
    for drive_id in (None, 1, 3, 6, 4, 7):  # delete no drive, then one more each time
        await owner.execute("DELETE FROM drives WHERE drive_id = $1", drive_id)
        await maintenance.refresh_all(maintainer)
        counted = await owner.fetchval("SELECT sum(eligible) FROM branch_counts")
        assert counted == await owner.fetchval(ELIGIBLE_FOR_ANY)
        assert 0 < counted < 2000


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize(
    "invalid_query",
    ["days=0", "days=-1", "days=x", "days=3651", "days=99999999999999999999", "days=7.5", "days=",
     "drive_id=0", "drive_id=-1", "drive_id=x", "drive_id=2147483648"],
)  # fmt: skip
async def test_an_invalid_query_gets_400(api: Api, series: str, invalid_query: str) -> None:
    answer = await api.get(f"/api/analytics/{series}?{invalid_query}")
    assert answer.status_code == 400, answer.text
    field = invalid_query.partition("=")[0]
    assert answer.json()["message"].startswith(f"{field} must be ")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "99999999999999999999"])
async def test_an_invalid_limit_gets_400(api: Api, limit: str) -> None:
    answer = await api.get("/api/analytics/registrations-by-drive", params={"limit": limit})
    assert answer.status_code == 400
    assert "limit" in answer.json()["message"]


@pytest.mark.parametrize("series", SERIES)
async def test_only_heads_and_coordinators_may_read_analytics(api: Api, series: str) -> None:
    path = f"/api/analytics/{series}"
    statuses = {role: (await api.get(path, role)).status_code for role in ("HEAD", "COORDINATOR", "STAFF", "STUDENT")}
    assert statuses == {"HEAD": 200, "COORDINATOR": 200, "STAFF": 403, "STUDENT": 403}
    assert (await api.client.get(path)).status_code == 401
    assert (await api.client.get(path + "?days=x")).status_code == 401, "an unauthenticated caller gets no details"


@pytest.mark.parametrize("series", SERIES)
async def test_a_conditional_request_gets_304_until_the_next_refresh(
    api: Api, maintainer: Database, series: str
) -> None:
    path = f"/api/analytics/{series}"
    as_of, _ = await maintenance.refresh_all(maintainer)
    first = await api.get(path)
    modified = parsedate_to_datetime(first.headers["last-modified"])
    assert modified == as_of.replace(microsecond=0)
    assert first.headers["last-modified"].endswith("GMT")
    assert (first.headers["cache-control"], first.headers["vary"]) == ("private, no-cache", "Authorization")

    async def status_with(**headers: str) -> int:
        answer = await api.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status_code == 200 or not answer.content
        assert answer.headers["etag"] == first.headers["etag"] or answer.status_code == 200
        return answer.status_code

    earlier = format_datetime(modified - timedelta(seconds=1), usegmt=True)
    assert await status_with(if_modified_since=first.headers["last-modified"]) == 304
    assert await status_with(if_modified_since=earlier) == 200
    assert await status_with(if_modified_since="yesterday") == 200
    assert await status_with(if_none_match=first.headers["etag"]) == 304
    assert await status_with(if_none_match=f'"other", W/{first.headers["etag"]}') == 304
    assert await status_with(if_none_match='"other"', if_modified_since=first.headers["last-modified"]) == 200
    await maintenance.refresh_all(maintainer)
    assert await status_with(if_none_match=first.headers["etag"]) == 200


async def test_a_refresh_is_recorded(owner: "Owner[asyncpg.Record]", maintainer: Database) -> None:
    started_at = datetime.now(UTC)
    as_of, refreshed = await maintenance.refresh_all(maintainer)
    assert started_at <= as_of <= datetime.now(UTC)
    rows = await owner.fetch("SELECT * FROM view_refresh ORDER BY began_at")
    assert [row["view_name"] for row in rows] == list(maintenance.VIEWS) == [view.view for view in refreshed]
    assert {row["refreshed_at"] for row in rows} == {as_of}
    for row, view in zip(rows, refreshed, strict=True):
        assert as_of <= row["began_at"] <= row["finished_at"]
        assert row["duration_s"] == pytest.approx((row["finished_at"] - row["began_at"]).total_seconds())
        assert (row["duration_s"], row["rows"]) == (view.duration_s, view.rows)


async def test_every_view_can_be_refreshed_concurrently(owner: "Owner[asyncpg.Record]") -> None:
    views = await owner.fetch(
        """
        SELECT c.relname, c.relispopulated,
               EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique) AS keyed
          FROM pg_class c WHERE c.relkind = 'm' ORDER BY 1
        """
    )
    assert [tuple(row) for row in views] == [(view, True, True) for view in sorted(maintenance.VIEWS)]


async def test_a_view_without_data_is_filled(api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database) -> None:
    for view in maintenance.VIEWS:
        await owner.execute(f"REFRESH MATERIALIZED VIEW {view} WITH NO DATA")
    await maintenance.refresh_all(maintainer)
    assert (await figures(api, "summary"))["total_drives"] == 0


async def test_refreshes_wait_for_each_other_and_never_block_readers(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    """The last refresh shows what was committed before its request, even after a long wait."""
    await maintenance.refresh_all(maintainer)
    async with owner.transaction():
        await owner.execute(maintenance.ONE_AT_A_TIME)
        await owner.execute(maintenance.BESIDE_READERS.format(view="drives_over_time"))
        refreshes = [asyncio.create_task(maintenance.refresh_all(maintainer)) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in refreshes)
        assert (await figures(api, "summary"))["total_drives"] == 0
        await api.post("/api/drives", json=DRIVE)
    moments = [moment for moment, _ in await asyncio.gather(*refreshes)]
    assert len(set(moments)) == 3
    assert (await figures(api, "summary"))["total_drives"] == 1
