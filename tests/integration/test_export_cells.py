"""Parsed export files hold the values of the database, and none of their cells is a formula."""

import csv
import gc
import io
import re
import unicodedata
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chassis.postgres.database import Database
from chassis.spreadsheets.workbook import Workbook
from chassis.storage import Storage
from contracts.exports import ExportFormat, ExportKind, ExportRequested
from services.exporter import handlers
from tests.support.bulk_students import enrol
from tests.support.sizes import sized
from tests.support.system import as_role

Owner = asyncpg.Connection
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
# Characters that a spreadsheet program may skip before it looks for the sign of a formula.
BEFORE = " '\"`\u00a0\u200b\u3000\ufeff\u2018\u201c\x01\x0b\x85"
FORMULA_STARTS = (*SIGNS, "\t", "\n", "\r", *(f"{before}{sign}" for before in BEFORE for sign in SIGNS))
# All characters that Postgres can store: no NUL, no surrogates.
CHARACTERS = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
PASSED_RANGES = ((0x180B, 0x180E), (0x200B, 0x200F), (0x2018, 0x201F), (0x202A, 0x202E), (0x2032, 0x2037),
                 (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFFF9, 0xFFFF))  # fmt: skip
TRICKY = st.text(st.sampled_from("=+-@\t\r\n,;|\"'\\&<>_x0041.é \x01\ufffe"), max_size=12)
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=20), TRICKY, st.builds(str.__add__, st.sampled_from(FORMULA_STARTS), TRICKY)
)
PASSED_OVER = set(
    "\"'`\u00ab\u00bb\u00ad\u00b4\u034f\u061c\u115f\u1160\u17b4\u17b5\u2039\u203a\u2800\u3164\uff02\uff07\uff40\ufeff\uffa0"
)
PASSED_OVER |= {chr(code) for first, last in PASSED_RANGES for code in range(first, last + 1)}
NEVER_IN_XML = "".join(map(chr, (*range(1, 9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)))
# Characters that XML cannot hold.
IMPOSSIBLE = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def expected_cell(text: str) -> str:
    """Return the expected cell for ``text``: a second implementation of the rule, by Unicode categories.

    ``PASSED_OVER`` are quotes and invisible characters, which spreadsheet programs may skip.
    """
    if text.lstrip(NEVER_IN_XML).startswith(("\t", "\n", "\r")):
        return f"'{text}"
    for character in text:
        if character in SIGNS:
            return f"'{text}"
        if not (character in PASSED_OVER or unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc")):
            break
    return text


@pytest.fixture(scope="module")
def texts() -> list[str]:
    collected: list[str] = []

    @settings(
        max_examples=sized(small=300, full=1_500),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @example("  =1+1")
    @example("'=1+1")
    @example('"\u200b@x')
    @example("\u3000\uff1dx")
    @example("-5")
    @example("O'Brien - Smith")
    @example('=cmd|" /C calc"!A0')
    @example("\\.")
    @example("")
    @example('"')
    @example("_x003D_1+1")
    @example("_x0041_x0042_")
    @given(TEXTS)
    def collect(text: str) -> None:
        collected.append(text)

    collect()
    assert len(collected) >= sized(small=300, full=1_000)
    assert sum(text.startswith(FORMULA_STARTS) for text in collected) > 100
    return collected


async def write_file(
    owner: "Owner[asyncpg.Record]", database_url: str, folder: Path, texts: list[str], export_request: ExportRequested
) -> bytes:
    """Export students whose name and branch are ``texts``, with the role of the exporter. Return the file."""
    ids = await enrol(owner, len(texts))
    await owner.execute(
        "INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at,"
        " status, auto_published, attendance_published) VALUES (1, 1, 'A', 'B', '', 1, now(), 'posted', true, false)"
    )
    for table, column, key in (("users", "name", "user_id"), ("students", "branch", "student_id")):
        await owner.execute(
            f"UPDATE {table} SET {column} = t.text FROM unnest($1::integer[], $2::text[]) AS t (id, text)"
            f" WHERE {key} = t.id",
            ids,
            texts,
        )
    database = Database(as_role(database_url, "placewire_exporter"), pool_size=1, application_name="test")
    storage = Storage(folder.as_uri())
    try:
        async with database.connection() as connection, storage.writing("file", "", "") as file:
            assert await handlers.write_export(connection, export_request, file, ZoneInfo("UTC")) == len(texts)
        return await storage.read("file")
    finally:
        await database.close()


def request(**changes: object) -> ExportRequested:
    return ExportRequested.model_validate(
        {
            "export_id": "00000000-0000-7000-8000-000000000000", "kind": ExportKind.ELIGIBLE_STUDENTS, "drive_id": 1,
            "format": ExportFormat.CSV, "columns": ["name", "student_id", "branch"], **changes,
        }
    )  # fmt: skip


@pytest.mark.damages
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_csv_cells_hold_the_values_of_the_database(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, texts: list[str], delimiter: str
) -> None:
    content = await write_file(owner, database_url, tmp_path, texts, request(delimiter=delimiter))
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True))
    assert rows[0] == ["name", "student_id", "branch"]
    for text, (name, _, branch) in zip(texts, rows[1:], strict=True):
        assert (name, branch) == (expected_cell(text), expected_cell(text))


@pytest.mark.damages
async def test_xlsx_cells_hold_the_values_of_the_database(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, texts: list[str]
) -> None:
    content = await write_file(owner, database_url, tmp_path, texts, request(format=ExportFormat.XLSX))
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    rows = list(book["Sheet1"].iter_rows())[1:]
    for text, (name, _, branch) in zip(texts, rows, strict=True):
        expected = expected_cell(IMPOSSIBLE.sub("", text))
        for cell in (name, branch):
            assert as_spreadsheets_read(str(cell.value or "")) == expected
            assert cell.data_type in ("s", "inlineStr", "n")  # n: an empty cell
            assert cell.value is None or cell.data_type != "n"


def as_spreadsheets_read(text: str) -> str:
    """Decode ``_x0041_`` to A as spreadsheet programs do (ECMA-376 part 1, 22.9.2.19). openpyxl does not."""
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)


def test_many_rows_are_split_into_several_sheets() -> None:
    book = Workbook(["n"], rows_a_sheet=4)
    content = b""
    rows = [f"<row><c><v>{n}</v></c></row>\n".encode() for n in range(8)]
    for lines in (b"".join(rows[:2]), b"", b"".join(rows[2:])):
        content += book.add_rows(lines)
    content += book.finish()
    sheets = openpyxl.load_workbook(io.BytesIO(content)).worksheets
    assert [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in sheets] == [
        ["n", 0, 1, 2], ["n", 3, 4, 5], ["n", 6, 7],
    ]  # fmt: skip


def test_the_split_into_sheets_does_not_depend_on_how_rows_are_grouped() -> None:
    rows = [b"<row><c><v>1%s</v></c></row>\n" % (b"0" * n) for n in range(9)]
    files = []
    for at_once in (1, 2, 9):
        book = Workbook(["n"], bytes_a_sheet=80)
        content = b"".join(book.add_rows(b"".join(rows[n : n + at_once])) for n in range(0, 9, at_once))
        files.append(content + book.finish())
    assert files[0] == files[1] == files[2]
    sheets = openpyxl.load_workbook(io.BytesIO(files[0])).worksheets
    assert [sheet.max_row - 1 for sheet in sheets] == [3, 3, 3]


def test_a_workbook_without_rows_has_its_header() -> None:
    book = Workbook(["a & b"])
    [sheet] = openpyxl.load_workbook(io.BytesIO(book.add_rows(b"") + book.finish())).worksheets
    assert [list(row) for row in sheet.iter_rows(values_only=True)] == [["a & b"]]


def test_an_unfinished_workbook_is_closed_without_a_warning() -> None:
    with closing(Workbook(["a"])) as book:
        book.add_rows(b"<row/>\n")
    del book
    gc.collect()  # a warning from a destructor would fail the test
