"""The sheet and the report of finished drives, opened by readers that are not ours; and attendance as CSV."""

import csv
import io
from datetime import UTC, date, datetime
from typing import Any

import openpyxl
import pytest
from pypdf import PdfReader

from chassis.errors import Invalid
from services.api.attendance.csv_file import attendance_csv
from services.api.finished_drives.pdf_file import finished_pdf
from services.api.finished_drives.period import day, integer
from services.api.finished_drives.xlsx_file import COLUMNS, finished_xlsx

NOW = datetime(2030, 4, 1, 9, 30, tzinfo=UTC)
ROW = {
    "drive_id": 3, "company_name": "Acme", "job_title": "SDE", "interview_date": date(2030, 3, 5),
    "finished_date": datetime(2030, 3, 6, 23, 30, tzinfo=UTC), "total_registered": 12, "total_present": 7,
    "total_absent": 4, "domain_name": "Cloud Computing",
}  # fmt: skip


def sheet(*rows: dict[str, Any]) -> Any:
    found: Any = rows
    return openpyxl.load_workbook(io.BytesIO(finished_xlsx(found)))["Finished Drives"]


def report(*rows: dict[str, Any]) -> PdfReader:
    found: Any = rows
    return PdfReader(io.BytesIO(finished_pdf(found, now=NOW)))


def text_of(pdf: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in pdf.pages)


def test_the_sheet_has_real_dates_and_numbers() -> None:
    found = sheet(ROW)
    assert [cell.value for cell in found[2]] == [
        3, "Acme", "SDE", datetime(2030, 3, 5), datetime(2030, 3, 6), 12, 7, 4, "Cloud Computing",  # noqa: DTZ001
    ]  # fmt: skip
    assert [cell.number_format for cell in found[2]][3:5] == ["mm-dd-yy", "mm-dd-yy"]
    assert all(cell.is_date for cell in found[2][3:5])


def test_the_sheet_has_a_bold_header_and_the_widths() -> None:
    found = sheet()
    assert found.max_row == 1
    assert [(cell.value, cell.font.bold) for cell in found[1]] == [(title, True) for title, _ in COLUMNS]
    widths = [found.column_dimensions[letter].width for letter in "ABCDEFGHI"]
    assert widths == [10, 30, 30, 20, 20, 15, 12, 12, 20]


def test_in_the_sheet_text_is_text_whatever_it_begins_with() -> None:
    evil = '=HYPERLINK("http://x","y")\x07'
    [company, job] = sheet(ROW | {"company_name": evil, "job_title": "+1", "domain_name": None})[2][1:3]
    assert (company.value, company.data_type) == (evil[:-1], "s")
    assert (job.value, job.data_type) == ("+1", "s")


def test_what_is_missing_is_empty_in_the_sheet() -> None:
    cells = sheet(ROW | {"interview_date": None, "domain_name": None})[2]
    assert cells[3].value is None
    assert cells[8].value in (None, "")


def test_the_report_tells_of_every_drive() -> None:
    pdf = report(ROW, ROW | {"company_name": "Globex", "interview_date": None, "domain_name": None})
    assert [line.strip() for line in text_of(pdf).splitlines()] == [
        "Finished Placement Drives Report", "Generated on 1 April 2030", "Summary", "Total Drives: 2",
        "Total Registered: 24", "Total Present: 14", "Total Absent: 8",
        "1. Acme", "Job Title: SDE", "Interview Date: 5 March 2030", "Finished Date: 6 March 2030",
        "Registered: 12 | Present: 7 | Absent: 4", "Domain: Cloud Computing",
        "2. Globex", "Job Title: SDE", "Interview Date: TBD", "Finished Date: 6 March 2030",
        "Registered: 12 | Present: 7 | Absent: 4",
    ]  # fmt: skip
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Finished Placement Drives Report"


def test_a_report_of_nothing_says_so() -> None:
    assert "No drives were finished in this period." in text_of(report())


def test_a_report_survives_every_text() -> None:
    strange = "<b>A & B</i> \N{INDIAN RUPEE SIGN}5 \N{DEVANAGARI LETTER A} é\n\x00" + "x" * 400
    text = text_of(report(ROW | {"company_name": strange})).replace("\n", "")
    assert "<b>A & B</i> Rs.5 ? é" in text


def test_a_season_of_a_thousand_drives_has_every_one() -> None:
    pdf = report(*(ROW | {"company_name": f"Company {number}"} for number in range(1000)))
    text = text_of(pdf)
    assert "1000. Company 999" in text
    assert text.count("Finished Date") == 1000


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_name_that_looks_like_a_formula_is_made_harmless(name: str) -> None:
    rows: Any = [{"student_id": 5, "name": name, "status": "PRESENT"}]
    [_, cells] = csv.reader(io.StringIO(attendance_csv(rows), newline=""))
    assert cells == ["5", f"'{name}", "PRESENT"]


def test_the_csv_is_quoted_as_rfc_4180_has_it() -> None:
    rows: Any = [
        {"student_id": 5, "name": 'A "B", C', "status": "PRESENT"},
        {"student_id": 6, "name": None, "status": "ABSENT"},
    ]
    assert attendance_csv(rows) == 'student_id,name,status\r\n5,"A ""B"", C",PRESENT\r\n6,"",ABSENT\r\n'


def test_an_absent_value_of_a_query_is_no_limit() -> None:
    assert integer(None, "limit", most=10) is None
    assert day(None, "start_date") is None
    assert day("2030-02-28", "start_date") == date(2030, 2, 28)


@pytest.mark.parametrize("text", ["", "0", "11", "-1", "1.5", "abc", "\N{ARABIC-INDIC DIGIT FIVE}", "1" * 30])
def test_a_number_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="limit must be a whole number from 1 to 10") as refused:
        integer(text, "limit", most=10)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["", "2030-02-30", "20300228", "2030-2-3", "10000-01-01", "today"])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="end_date must be a day, written YYYY-MM-DD"):
        day(text, "end_date")
