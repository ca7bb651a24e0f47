"""Reading files of students."""

import csv
import io
import zipfile
from collections.abc import Mapping
from typing import Any

import openpyxl
import pytest

from chassis.errors import Invalid
from services.api.students.columns import COLUMNS
from services.api.students.csv_file import csv_rows
from services.api.students.rows import Row, Unreadable
from services.api.students.student_file import StudentFile, copy_chunks
from services.api.students.xlsx_file import xlsx_rows

HEADER = "name,email,roll_number,cgpa\n"


def rows_of(content: str | bytes) -> list[Row]:
    return list(csv_rows(io.BytesIO(content.encode() if isinstance(content, str) else content)))


def sheet(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.create_sheet("second").append(["not", "read"])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def staged(content: str | bytes, name: str = "", mapping: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """What COPY would be given, by column."""
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    text = b"".join(copy_chunks(StudentFile(file, name, mapping or {}))).decode()
    names = ("line", "fault_column", "fault", *COLUMNS)
    return [dict(zip(names, row, strict=True)) for row in csv.reader(io.StringIO(text))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_comes_in_several_dialects(delimiter: str, newline: str, mark: str) -> None:
    content = mark + newline.join([delimiter.join(["name", "usn"]), delimiter.join(["Asha", "1"]), ""])
    assert rows_of(content) == [(1, ["name", "usn"]), (2, ["Asha", "1"])]


def test_lines_are_counted_as_the_file_has_them() -> None:
    content = 'a,b\n\n"two\r\nlines",1\n,\nx,2\n'
    assert rows_of(content) == [(1, ["a", "b"]), (3, ["two lines", "1"]), (6, ["x", "2"])]


def test_a_delimiter_within_quotes_does_not_count() -> None:
    assert rows_of('"a;b;c;d",e,f\n')[0] == (1, ["a;b;c;d", "e", "f"])


def test_a_cell_of_a_million_characters_spoils_its_own_row_only() -> None:
    for quote in ("", '"'):
        rows = rows_of(f"a,b\n1,{quote}{'x' * 1_000_000}{quote}\n3,4\n")
        assert rows[0] == (1, ["a", "b"])
        assert rows[1][0] == 2
        assert isinstance(rows[1][1], Unreadable)
        assert rows[2] == (3, ["3", "4"])


def test_a_quote_that_never_closes_is_told() -> None:
    rows = rows_of('a,b\n1,2\n"3,4\n5,6\n')
    assert rows[2] == (3, Unreadable(None, "a quote is not closed"))
    far = rows_of('a,b\n"1,2\n' + "3,4\n" * 100_000)
    assert far[1][0] == 2
    assert isinstance(far[1][1], Unreadable)
    assert far[-1] == (100_002, ["3", "4"])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("name\nJosé\n".encode("latin-1"), 2),
        ("name\nx\n".encode("utf-16"), 1),
        (b"name\n" + b"x\n" * 100_000 + b"\xff\n", 100_002),
    ],
)
def test_another_encoding_is_named_with_its_line(content: bytes, line: int) -> None:
    with pytest.raises(Invalid, match=f"Line {line} is not UTF-8 text.*save it as") as caught:
        rows_of(content)
    assert caught.value.errors == [{"line": line, "reason": "is not UTF-8 text: save as UTF-8"}]


def test_xlsx_numbers_become_text_as_written() -> None:
    content = sheet(["name", "usn", "cgpa", "year"], ["Asha", 21001, 7.55, 2026.0], [], ["Ravi", "21002"])
    assert list(xlsx_rows(io.BytesIO(content))) == [
        (1, ["name", "usn", "cgpa", "year"]),
        (2, ["Asha", "21001", "7.55", "2026"]),
        (4, ["Ravi", "21002", "", ""]),
    ]


def test_a_broken_xlsx_is_told() -> None:
    whole = sheet(["name"], ["Asha"])
    for content in (whole[: len(whole) // 2], b"PK\x03\x04 and then nothing"):
        with pytest.raises(Invalid, match="cannot be read"):
            staged(content)


def test_rows_are_staged_by_column_and_trimmed() -> None:
    rows = staged("usn,Name,E-Mail,Hostel,10th\n 1 , Asha K ,a@b,North, 91.5\n")
    empty = dict.fromkeys((*COLUMNS, "fault", "fault_column"), "")
    assert rows == [
        {**empty, "line": "2", "name": "Asha K", "email": "a@b", "roll_number": "1", "tenth_percent": "91.5"}
    ]


def test_an_xlsx_is_known_by_its_content() -> None:
    content = sheet(["name", "email", "usn"], ["Asha", "a@b", 1])
    assert [row["roll_number"] for row in staged(content, "students.csv")] == ["1"]


@pytest.mark.parametrize(
    ("row", "column", "fault"),
    [
        ("Asha,a@b,1", "", "has 3 cells; the header has 4"),
        ("Asha,a@b,1,2,3", "", "has 5 cells; the header has 4"),
        (f"{'x' * 1001},a@b,1,2", "name", "is longer than 1,000 characters"),
        ("As\0ha,a@b,1,2", "name", "has a NUL byte in it"),
        ('"Asha"x,a@b,1,2', "", "cannot be read: ',' expected after '\"'"),
    ],
)
def test_a_row_that_cannot_be_staged_says_why(row: str, column: str, fault: str) -> None:
    bad, good = staged(f"{HEADER}{row}\nRavi,r@b,2,7\n")
    assert (bad["line"], bad["fault_column"], bad["fault"], bad["name"]) == ("2", column, fault, "")
    assert (good["line"], good["fault"], good["name"]) == ("3", "", "Ravi")


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "", "The file is empty"),
        (b"\n\n", "", "The file is empty"),
        (HEADER.encode(), "", "a header and no rows"),
        (sheet([]), "", "The file is empty"),
        (sheet(["name", "email", "usn"]), "", "a header and no rows"),
        (b"\xd0\xcf\x11\xe0....", "a.xls", r"old Excel \(.xls\)"),
        (b"%PDF-1.7", "a.csv", "neither CSV nor XLSX"),
        (b"name,email,usn\n", "a.xlsx", "neither CSV nor XLSX"),
        (b"name,email\nAsha,a@b\n", "", "no column for roll_number"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content: bytes, name: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        staged(content, name)


def test_a_large_file_comes_in_chunks() -> None:
    content = HEADER + "".join(f"n{n},n{n}@b,{n},7\n" for n in range(5_000))
    chunks = list(copy_chunks(StudentFile(io.BytesIO(content.encode()), "", {})))
    assert [chunk.count(b"\n") for chunk in chunks] == [2_000, 2_000, 1_000]


def test_one_huge_cell_of_an_xlsx_is_refused_before_it_is_read() -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["name", "email", "roll_number"])
    plain = io.BytesIO()
    book.save(plain)
    packed = io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            content = source.read(part)
            if part.filename.startswith("xl/worksheets/"):
                content = content.replace(b"roll_number", b"x" * 20_000_000)
            if part.filename == "xl/sharedStrings.xml":
                continue
            target.writestr(part.filename, content)
    packed.seek(0)
    with pytest.raises(Invalid, match="too large"):
        list(xlsx_rows(packed))
