"""Finished drives over HTTP: the fields of the list, its periods, and the files (XLSX and PDF)."""

import asyncio
import io
import re
from datetime import UTC, datetime
from typing import Any

import asyncpg
import openpyxl
import pytest
from pypdf import PdfReader

from services.api import worker_process
from services.api.finished_drives import report
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import finished
from tests.support.loop_lag import loop_lag

Owner = asyncpg.Connection
PATH = "/api/finished-drives"
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


async def test_a_finished_drive_has_every_field_of_the_contract(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, 5)
    domain = (await api.post("/api/job-domains", json={"domain_name": "Cloud Computing"})).json()["domain_id"]
    first = await finished(api, ids[:2], ids[2:3], domain_id=domain, interview_date="2030-03-05")
    second = await finished(api, ids[:1], [], company_name="Globex")
    for role in ("HEAD", "COORDINATOR"):
        [newest, oldest_drive] = (await api.get(PATH, role)).json()
        assert INSTANT.match(oldest_drive["finished_date"])
        assert newest["drive_id"] == second
        assert (newest["interview_date"], newest["domain_id"], newest["domain_name"]) == (None, None, None)
        assert oldest_drive == {
            "id": first, "drive_id": first, "finished_date": oldest_drive["finished_date"], "total_registered": 3,
            "total_present": 2, "total_absent": 1, "company_name": "Acme", "job_title": "SDE",
            "interview_date": "2030-03-05T00:00:00.000Z", "created_at": oldest_drive["finished_date"], "pdf_path": None,
            "domain_id": domain, "domain_name": "Cloud Computing",
        }  # fmt: skip
    limited = (await api.get(PATH, params={"limit": 1, "months": 3})).json()
    assert [drive["drive_id"] for drive in limited] == [second]


@pytest.mark.damages
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [4, 3, 2, 1]),
        ({"start_date": "2030-03-01", "end_date": "2030-03-31"}, [3, 2]),
        ({"start_date": "2030-03-31", "end_date": "2030-03-31"}, [3]),
        ({"start_date": "2030-03-02", "end_date": "2030-03-30"}, []),
        ({"start_date": "2030-01-01", "end_date": "2031-01-01", "limit": "2"}, [3, 2]),
        ({"months": "3"}, [4]),
        ({"months": "1200"}, [4, 3, 2, 1]),
        ({"start_date": "2030-03-31"}, [4, 3]),
        ({"end_date": "2030-03-01"}, [2, 1]),
        ({"end_date": "9999-12-31"}, [4, 3, 2, 1]),
        ({"start_date": "2030-03-02", "end_date": "2030-03-01"}, []),
        ({"months": "3", "start_date": "2030-03-01", "end_date": "2030-03-31"}, []),
    ],
)
async def test_a_period_includes_its_last_day(
    api: Api, owner: "Owner[asyncpg.Record]", query: dict[str, str], expected: list[int]
) -> None:
    add = "INSERT INTO finished_drives VALUES ($1, $2, 0, 0, 0, 'Acme', 'SDE', NULL, NULL, NULL)"
    for drive_id, day in enumerate(
        ("2030-02-28T23:59:59.999", "2030-03-01T00:00:00", "2030-03-31T23:59:59.999999"), start=1
    ):
        await owner.execute(add, drive_id, datetime.fromisoformat(day).replace(tzinfo=UTC))
    await owner.execute("UPDATE finished_drives SET finished_date = finished_date - interval '50 years'")
    await owner.execute(add, 4, datetime.now(UTC))
    moved_query = {name: value.replace("203", "198") for name, value in query.items()}
    answer = await api.get(PATH, params=moved_query)
    assert answer.status_code == 200, answer.text
    assert [drive["drive_id"] for drive in answer.json()] == expected


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("months=x", "months"), ("months=0", "months"), ("months=99999", "months"), ("limit=-1", "limit"),
        ("limit=1.5", "limit"), ("months=", "months"), ("limit=", "limit"), ("start_date=", "start_date"),
        ("start_date=2030-03-01&end_date=", "end_date"),
        ("start_date=2030-02-30&end_date=2030-03-01", "start_date"), ("start_date=1&end_date=2030-03-01", "start_date"),
    ],
)  # fmt: skip
async def test_an_invalid_period_gets_400(api: Api, query: str, parameter: str) -> None:
    answer = await api.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert parameter in answer.json()["message"]
    if "limit" not in query:
        assert (await api.get(f"{PATH}/download-pdf?{query}")).status_code == 400


async def files(api: Api, **query: Any) -> tuple[list[tuple[Any, ...]], str]:
    xlsx = await api.get(f"{PATH}/download-excel", "STAFF", params=query)
    assert xlsx.headers["content-type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert re.fullmatch(r'attachment; filename="finished-drives-\d{13}\.xlsx"', xlsx.headers["content-disposition"])
    pdf = await api.get(f"{PATH}/download-pdf", params=query)
    assert pdf.headers["content-type"] == "application/pdf"
    assert re.fullmatch(r'attachment; filename="finished-drives-\d{13}\.pdf"', pdf.headers["content-disposition"])
    sheet = openpyxl.load_workbook(io.BytesIO(xlsx.content))["Finished Drives"]
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    return list(sheet.iter_rows(min_row=2, values_only=True)), text


async def test_both_files_hold_the_same_drives(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, 3)
    assert await files(api) == ([], (await files(api))[1])
    assert "No drives were finished" in (await files(api))[1]
    drive_id = await finished(api, ids[:2], ids[2:])
    [row], text = await files(api, months=3)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    assert row == (drive_id, "Acme", "SDE", None, today, 3, 2, 1, None)
    assert "1. Acme\nJob Title: SDE\nInterview Date: TBD" in text
    assert "Registered: 3 | Present: 2 | Absent: 1" in text
    assert (await files(api, start_date="2001-01-01", end_date="2001-12-31"))[0] == []


SEASON = """
INSERT INTO finished_drives (drive_id, finished_date, total_registered, total_present, total_absent, company_name,
                             job_title, interview_date)
SELECT id, now() - id * interval '1 minute', 30, 20, 5, 'Acme Systems ' || id, 'Software Engineer', '2030-03-05'
  FROM generate_series(1, 300) AS id
"""


@pytest.mark.full_only
@pytest.mark.damages
async def test_concurrent_reports_do_not_block_other_requests(
    api: Api, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports are written in processes. In threads, twelve reports blocked the event loop for 450 ms at a time."""
    await owner.execute(SEASON)
    monkeypatch.setattr(report, "MAX_WAITING", 3)
    async with loop_lag() as lag:
        answers = await asyncio.gather(*(api.get(f"{PATH}/download-pdf") for _ in range(4)))
    assert lag.worst_s < 0.05
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 503]
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["message"].startswith("Too many reports")
            assert int(answer.headers["retry-after"]) >= 1
        else:
            text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)
            assert text.count("Job Title: Software Engineer") == 300


@pytest.mark.damages
async def test_a_report_that_exceeds_its_limits_is_refused_with_a_message(
    api: Api, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.execute(SEASON)
    start = worker_process.start

    async def start_and_kill(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*arguments, **options)
        process.kill()
        return process

    monkeypatch.setattr(worker_process, "start", start_and_kill)
    answer = await api.get(f"{PATH}/download-pdf")
    assert (answer.status_code, "shorter period" in answer.json()["message"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", {"HEAD", "COORDINATOR"}),
        ("/download-excel", {"HEAD", "COORDINATOR", "STAFF"}),
        ("/download-pdf", {"HEAD", "COORDINATOR"}),
    ],
)
async def test_each_route_allows_only_its_roles(api: Api, path: str, allowed: set[str]) -> None:
    for role in ("STUDENT", "STAFF", "COORDINATOR", "HEAD"):
        assert (await api.get(PATH + path, role)).status_code == (200 if role in allowed else 403)
    assert (await api.client.get(PATH + path)).json()["message"] == "No token"


async def test_the_sheet_has_typed_cells_a_bold_header_and_column_widths(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    [student] = await enrol(owner, 1)
    await finished(api, [student], [], company_name='=HYPERLINK("x")', interview_date="2030-03-05")
    answer = await api.get(f"{PATH}/download-excel", "STAFF")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content))["Finished Drives"]
    assert [(cell.value, cell.font.bold) for cell in sheet[1]] == [
        (title, True) for title in ("Drive ID", "Company Name", "Job Title", "Interview Date", "Finished Date",
                                    "Total Registered", "Total Present", "Total Absent", "Domain")
    ]  # fmt: skip
    assert [sheet.column_dimensions[letter].width for letter in "ABCDEFGHI"] == [10, 30, 30, 20, 20, 15, 12, 12, 20]
    cells = sheet[2]
    today = datetime.now(UTC).date()
    finished_at = cells[4].value
    assert isinstance(finished_at, datetime)
    assert (cells[3].value, finished_at.date()) == (datetime(2030, 3, 5), today)  # noqa: DTZ001
    assert [cell.number_format for cell in cells[3:5]] == ["mm-dd-yy", "mm-dd-yy"]
    assert [cell.value for cell in cells[5:]] == [1, 1, 0, None]
    assert (cells[1].value, cells[1].data_type) == ('\'=HYPERLINK("x")', "s")
