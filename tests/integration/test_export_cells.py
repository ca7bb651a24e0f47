"""No cell of an export is a formula, and every cell is what stood in the table: by parsing files back."""

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
# What a spreadsheet program may leave out before it looks at the first character of a cell.
BEFORE = " '\"`\u00a0\u200b\u3000\ufeff\u2018\u201c\x01\x0b\x85"
FORMULA_STARTS = (*SIGNS, "\t", "\n", "\r", *(f"{before}{sign}" for before in BEFORE for sign in SIGNS))
# Whatever Postgres keeps: no NUL, no half of a surrogate pair.
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
# What XML cannot hold.
IMPOSSIBLE = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def harmless(text: str) -> str:
    """The rule written once more, by categories of Unicode; ``PASSED_OVER`` are quotes and fillers."""
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
    found: list[str] = []

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
        found.append(text)

    collect()
    assert len(found) >= sized(small=300, full=1_000)
    assert sum(text.startswith(FORMULA_STARTS) for text in found) > 100
    return found


async def written(
    owner: "Owner[asyncpg.Record]", database_url: str, folder: Path, texts: list[str], asked: ExportRequested
) -> bytes:
    """The file of students whose name and branch are ``texts``, as the exporter's own role reads them."""
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
            assert await handlers.write_export(connection, asked, file, ZoneInfo("UTC")) == len(texts)
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
async def test_csv_comes_back(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, texts: list[str], delimiter: str
) -> None:
    content = await written(owner, database_url, tmp_path, texts, request(delimiter=delimiter))
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True))
    assert rows[0] == ["name", "student_id", "branch"]
    for text, (name, _, branch) in zip(texts, rows[1:], strict=True):
        assert (name, branch) == (harmless(text), harmless(text))


@pytest.mark.damages
async def test_xlsx_comes_back(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, texts: list[str]
) -> None:
    content = await written(owner, database_url, tmp_path, texts, request(format=ExportFormat.XLSX))
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    rows = list(book["Sheet1"].iter_rows())[1:]
    for text, (name, _, branch) in zip(texts, rows, strict=True):
        expected = harmless(IMPOSSIBLE.sub("", text))
        for cell in (name, branch):
            assert as_spreadsheets_read(str(cell.value or "")) == expected
            assert cell.data_type in ("s", "inlineStr", "n")  # n: an empty cell
            assert cell.value is None or cell.data_type != "n"


def as_spreadsheets_read(text: str) -> str:
    """``_x0041_`` is A to a spreadsheet; openpyxl leaves it as it stands. Source: ECMA-376 part 1, 22.9.2.19."""
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)


def test_many_rows_take_several_sheets() -> None:
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


def test_sheets_end_at_the_same_row_however_the_rows_come() -> None:
    rows = [b"<row><c><v>1%s</v></c></row>\n" % (b"0" * n) for n in range(9)]
    made = []
    for at_once in (1, 2, 9):
        book = Workbook(["n"], bytes_a_sheet=80)
        content = b"".join(book.add_rows(b"".join(rows[n : n + at_once])) for n in range(0, 9, at_once))
        made.append(content + book.finish())
    assert made[0] == made[1] == made[2]
    sheets = openpyxl.load_workbook(io.BytesIO(made[0])).worksheets
    assert [sheet.max_row - 1 for sheet in sheets] == [3, 3, 3]


def test_a_workbook_without_rows_has_its_header() -> None:
    book = Workbook(["a & b"])
    [sheet] = openpyxl.load_workbook(io.BytesIO(book.add_rows(b"") + book.finish())).worksheets
    assert [list(row) for row in sheet.iter_rows(values_only=True)] == [["a & b"]]


def test_a_workbook_given_up_is_closed_without_a_word() -> None:
    with closing(Workbook(["a"])) as book:
        book.add_rows(b"<row/>\n")
    del book
    gc.collect()  # a complaint from a destructor would fail the test
