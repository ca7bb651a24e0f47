"""Reading files of students of each format: the rows that are staged, the faults and the warnings."""

import csv
import io
import re
from collections.abc import Callable
from decimal import Decimal
from itertools import count

import openpyxl
import pytest
import xlwt
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Invalid
from services.api.students.import_files.number_formats import Unshowable, shown
from services.api.students.import_files.reading import Chunk, Ending, read_students
from services.api.students.import_files.rows import ReadOptions
from services.api.students.import_files.staging import CHUNK_ROWS
from services.api.students.import_files.vocabulary import COLUMNS
from tests.support.workbook_parts import MAIN, cell, ods, ods_cell, ods_row, sheet_rows, xlsx

HEADER = "name,email,roll_number,cgpa\n"
HEADERS = [cell("Name"), cell("Email"), cell("USN"), cell("10th %"), cell("CGPA")]
WHO = [cell("Asha"), cell("a@college.edu")]


def frames(content: str | bytes, name: str = "") -> list[object]:
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_students(file, name, ReadOptions({})))


def staged(content: str | bytes, name: str = "") -> list[dict[str, str]]:
    """Return the rows that are passed to COPY, by column."""
    read_frames = frames(content, name)
    text = b"".join(frame.content for frame in read_frames if isinstance(frame, Chunk)).decode()
    names = ("line", "fault_column", "fault", *COLUMNS)
    return [dict(zip(names, row, strict=True)) for row in csv.reader(io.StringIO(text))]


def warnings(content: str | bytes) -> str:
    (ending,) = [frame for frame in frames(content) if isinstance(frame, Ending)]
    return " ".join(ending.warnings)


def staged_value(header: str, column: str, text: str) -> str:
    """Return the value that is staged for ``text`` under ``header``, or the fault."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["name", "email", "roll_number", header], ["Asha", "a@college.edu", "R1", text]])
    (row,) = staged(buffer.getvalue())
    return row["fault"] or row[column]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_is_read_in_several_dialects_and_encodings(delimiter: str, newline: str, encoding: str) -> None:
    lines = [["name", "e-mail", "usn"], ["Zoë", "z@college.edu", "1"]]
    content = newline.join(delimiter.join(line) for line in lines).encode(encoding)
    assert [(row["name"], row["roll_number"]) for row in staged(content)] == [("Zoë", "1")]


def test_a_title_with_commas_does_not_hide_the_semicolons() -> None:
    content = "Marks of CSE, ECE, MECH, CIVIL, and others, of 2026\nname;email;usn;10th\nA;a@b;1;80,5\nB;b@b;2;71,5\n"
    assert [row["tenth_percent"] for row in staged(content)] == ["80.5", "71.5"]


def test_spaces_may_stand_before_quotes() -> None:
    assert staged('"name", "email", "usn"\n"Rao, Asha", "a@b", "1"\n')[0]["name"] == "Rao, Asha"


@pytest.mark.parametrize(
    "lines",
    [
        ["Roll No,Name,Email,10th,,12th,,UG,", ",,,Board,%,Board,%,CGPA,Backlogs"],
        ["usn,name,email,10th,,12th,,cgpa,Backlogs", "usn,name,email,Year,%,Year,%,,Active"],
        ["Roll No,Name,Email,,10th,,12th,CGPA,Backlogs", ",,,,(%),,(out of 100),(out of 10),(0 if none)"],
        [",,,10th,,12th,,UG,", "Roll No,Name,Email,Board,%,Board,%,CGPA,Backlogs"],
        ["B.E. 2026,,,,,,,,", ",,,10th,,12th,,B.E.,", "Roll No,Name,Email,Year,%,Year,%,CGPA,Active Backlogs"],
    ],
)
def test_two_header_lines_are_joined(lines: list[str]) -> None:
    content = "\n".join([*lines, "R1,Asha,a@b,x,81.5,y,77,8.1,2"])
    (row,) = staged(content)
    marks = [row[column] for column in ("roll_number", "tenth_percent", "twelfth_percent", "cgpa", "active_backlogs")]
    assert marks == ["R1", "81.5", "77", "8.1", "2"]
    assert f"The header is lines {len(lines) - 1} and {len(lines)}, joined" in warnings(content)


@pytest.mark.parametrize("second", [",,,CBSE,", "CSE,,,,", ",,,1,2"])
def test_a_row_that_names_no_mark_is_not_a_second_header_line(second: str) -> None:
    bad, good = staged(f"Sl,Name,Email,USN,10th %\n{second}\n1,Asha,a@b,1,80\n")
    assert bool(bad["fault"] or not bad["email"])
    assert good["tenth_percent"] == "80"


def test_a_header_that_may_belong_to_a_group_is_refused() -> None:
    content = ",,,10th,,12th,,\nRoll No,Name,Email,Year,%,Year,%,CGPA\nR1,Asha,a@b,2020,88,2022,77,8\n"
    with pytest.raises(Invalid, match=r"'CGPA' \(column 8\) belongs to a group of line 1, as in '12th CGPA'. Write"):
        frames(content)


def test_line_numbers_are_those_of_the_file() -> None:
    rows = staged('name,email,usn\n\n"Asha\r\nRao",a@b,1\n,,\nB,b@b,2\n')
    assert [(row["line"], row["name"]) for row in rows] == [("3", "Asha Rao"), ("6", "B")]


def test_an_unclosed_quote_is_reported() -> None:
    rows = staged('name,email,usn\nA,a@b,1\n"B,b@b,2\nC,c@b,3\n')
    assert (rows[1]["line"], "a quote that is not closed" in rows[1]["fault"]) == ("3", True)


@pytest.mark.parametrize(
    ("content", "line"),
    [("name\nJos\u00e9\n".encode("latin-1"), 2), (b"name,email,usn\n" + b"a,a@b,1\n" * 20_000 + b"\xff\n", 20_002)],
)
def test_another_encoding_is_reported_with_its_line(content: bytes, line: int) -> None:
    with pytest.raises(Invalid, match=f"Line {line} is not UTF-8 text.*Windows-1252.*save it as") as caught:
        frames(content)
    assert caught.value.errors == [{"line": line, "reason": "is not UTF-8 text: save as UTF-8"}]


@pytest.mark.parametrize(
    ("header", "column", "text", "stored"),
    [
        ("10th", "tenth_percent", "80.5 %", "80.5"), ("CGPA", "cgpa", "7.850000000000001", "7.85"),
        ("CGPA", "cgpa", "6.949999999999999", "6.95"),
        ("CGPA", "cgpa", "N.A.", ""), ("Backlogs", "active_backlogs", "nil", "0"),
        ("Backlogs", "active_backlogs", "NO BACKLOGS", "0"), ("Backlogs", "active_backlogs", "N/A", ""),
        ("Backlogs", "active_backlogs", "Yes", "Yes"),
        ("10th", "tenth_percent", "8,1", "8,1"), ("CGPA", "cgpa", "7.855", "7.855"),
        ("Branch", "branch", " CSE\u00a0(AI) ", "CSE (AI)"), ("Branch", "branch", "n/a", ""),
        ("Branch", "branch", "Nanotechnology", "Nanotechnology"),
        ("Branch", "branch", "Civil, Structural", "Civil, Structural"),
        ("10th", "tenth_percent", "85/100", "85"), ("10th", "tenth_percent", "85.50 / 100", "85.5"),
        ("CGPA", "cgpa", "8.5/10", "8.5"), ("10th", "tenth_percent", "0.85%", "0.85"),
        ("10th", "tenth_percent", "0", "0"), ("CGPA", "cgpa", "0.85", "0.85"),
        ("Batch", "batch_year", "2026.0", "2026"), ("Dept", "department", "Cafe\u0301", "Caf\u00e9"),
    ],
)  # fmt: skip
def test_a_value_is_normalised(header: str, column: str, text: str, stored: str) -> None:
    assert staged_value(header, column, text) == stored


@pytest.mark.parametrize(
    ("header", "column", "text", "message"),
    [
        ("10th", "tenth_percent", "510/600", "out of 600: enter the percentage"),
        ("CGPA", "cgpa", "3.5/4", "out of 4: enter the mark out of 10"),
        ("Branch", "branch", "=A2", "the text of a formula"), ("Branch", "branch", "'CSE", "begins with an apostrophe"),
        ("Dept", "department", "CafÃ©", "it should perhaps be 'Café'"),
    ],
)  # fmt: skip
def test_an_ambiguous_value_is_refused(header: str, column: str, text: str, message: str) -> None:
    assert message in staged_value(header, column, text)


@pytest.mark.parametrize("name", ["123", "asha@college.edu", "=B2", "'Asha", "JosÃ©"])
def test_an_implausible_name_is_refused(name: str) -> None:
    (row,) = staged(f"name,email,usn\n{name},a@college.edu,R1\n")
    assert (row["fault_column"], bool(row["fault"])) == ("name", True)


@pytest.mark.parametrize("row", ["Placement Officer,,", "CSE,,", "Generated on 12/12/2026,-,NA", ",,,8"])
def test_a_row_without_roll_number_and_email_is_refused(row: str) -> None:
    (_, bad) = staged(f"{HEADER}Asha,a@b,1,7\n{row}\n")
    assert "neither a roll number nor an e-mail address: enter them, or remove the row" in bad["fault"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("12/05/2021", "is a date"), ("12-05-2021", "is a date"), ("2.1052E11", "Excel has shortened"),
        ("2,105,210", "separators of thousands"), ("21,05,210", "separators of thousands"), ("=A1", "a formula"),
        ("12/05/CS", "12/05/CS"), ("1E5", "1E5"), ("21/5/1", "21/5/1"),
        ("2105001.0", "2105001"), ('="000421"', "000421"), ("21CS  1", "21CS 1"), ("21E05", "21E05"),
        ("2.10521e+11", "Excel has shortened"), ("#N/A", "the error of a formula"), ("21CS\u200b1", "invisible"),
        ("21CS\u00ad1", "invisible"), ("NIL", ""), ("21-Jan", "is a date"), ("May-21", "is a date"),
        ("TRUE", "truth value"),
        ("2026-01-21 00:00:00", "is a date"), ("'2105001", "begins with an apostrophe"), ("Janaki-21", "Janaki-21"),
        ("21-CSE-04", "21-CSE-04"), ("\u0995\u09cd\u200d\u09b71", "\u0995\u09cd\u200d\u09b71"),
    ],
)  # fmt: skip
def test_a_roll_number_is_stored_as_shown_or_refused(text: str, stored: str) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([["name", "email", "usn"], ["Asha", "a@college.edu", text]])
    (row,) = staged(content.getvalue())
    assert row["roll_number"] == stored or (stored and stored in row["fault"])


@pytest.mark.parametrize(
    "text",
    [
        "Asha <a@b.in>", "mailto:a@b.in", "a@b.in;c@d.in", "a@b.in,", "'a@b.in", "a@b.in/", "http://a@b.in", "a@b.in|",
        "a@b .in", "a@b_c.in", "a@b..in", "a\u00a0@b.in", "a@b.in / c@d.in", "a@b.in c@d.in",
    ],
)  # fmt: skip
def test_an_invalid_address_is_refused(text: str) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([["name", "email", "usn"], ["Asha", text, "R1"]])
    (row,) = staged(content.getvalue())
    assert (row["fault_column"], bool(row["fault"])) == ("email", True)


@pytest.mark.parametrize(
    ("value", "code", "stored"),
    [
        (421, "000000", "000421"), (421, '"CS"0000', "CS0421"), (0.915, "0.0%", "91.5%"), (1.0, "0%", "100%"),
        (8.166666, "0.00", "8.17"), (1234, "#,##0", "1234"), (21001, "@", "21001"), (7.5, "[Blue]0.0", "7.5"),
        (210521001234, "General", "210521001234"), (0, "0;-0;;@", ""), (3, "0;-0;;@", "3"), (5, ";;;", ""),
        (0, '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)', "-"), (5, '"a;b"0', "a;b5"),
        (1234567, "#,##,##0", "1234567"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_its_format_shows_it(value: float, code: str, stored: str) -> None:
    assert shown(float(value), code) == stored


@pytest.mark.parametrize(
    ("value", "code"),
    [(7.6, "0"), (0.915, "0%"), (1e16, "General"), (0.5, "# ?/?"), (5, "0.00E+00"), (5, "[<9]0;00"), (-5, "0;(0)")],
)
def test_a_number_whose_format_hides_digits_is_refused(value: float, code: str) -> None:
    with pytest.raises(Unshowable):
        shown(float(value), code)


SHOWN = [
    ({"roll_number": "000421", "tenth_percent": "91", "cgpa": "7.85"}, ""),
    ({}, "holds a date (2026-01-02)"),
    ({}, "holds #DIV/0!"),
]


def old_workbook() -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for row, values in enumerate([["Name", "Email", "USN", "10th %", "CGPA"], *[["Asha", "a@college.edu"]] * 3]):
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    padded, percent, date = (xlwt.easyxf(num_format_str=code) for code in ("000000", "0%", "yyyy-mm-dd"))
    sheet.write(1, 2, 421, padded)
    sheet.write(1, 3, 0.91, percent)
    sheet.write(1, 4, 7.850000000000001)
    sheet.write(2, 2, 46024, date)
    sheet.row(3).set_cell_error(2, "#DIV/0!")
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def new_workbook() -> bytes:
    rows = sheet_rows(
        [
            HEADERS,
            [*WHO, cell(421, style=1), cell(0.91, style=2), cell(7.850000000000001)],
            [*WHO, cell(46024, style=3)],
            [*WHO, '<c t="e"><f>1/0</f><v>#DIV/0!</v></c>'],
        ]
    )
    return xlsx(rows, formats=["000000", "0%", "yyyy-mm-dd"])


def open_document() -> bytes:
    who = ods_cell("Asha") + ods_cell("a@college.edu")
    date = ods_cell("02.01.26").replace('"string"', '"date" office:date-value="2026-01-02"')
    marks = ods_cell("91%", 0.91, "percentage") + ods_cell("7,85", 7.850000000000001)
    return ods(
        ods_row(*(ods_cell(name) for name in ("Name", "Email", "USN", "10th %", "CGPA")))
        + ods_row(who, ods_cell("000421", 421), marks)
        + ods_row(who, date)
        + ods_row(who, ods_cell("#DIV/0!", more='calcext:value-type="error" table:formula="of:=1/0"'))
    )


@pytest.mark.parametrize("make", [old_workbook, new_workbook, open_document])
def test_a_workbook_of_each_format_is_read_as_shown(make: Callable[[], bytes]) -> None:
    for row, (expected, fault) in zip(staged(make()), SHOWN, strict=True):
        assert {key: row[key] for key in expected} == expected
        assert fault in row["fault"]
        assert bool(fault) == bool(row["fault"])


SHEET = (
    ("Name", "Email", "USN", "Branch", "CGPA"), ("A", "a@b", "1", "CSE", 7), ("B", "b@b", "2", None, 8),
    ("C", "c@b", "3", "ECE", 9), ("D", "d@b", "4", None, 9),
)  # fmt: skip


def with_hidden_cells() -> bytes:
    """Return a workbook with a hidden row, a hidden column, and a branch that is merged over two rows."""
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Sheet", 0)
    for row in SHEET:
        sheet.append(row)
    sheet.merge_cells("D2:D3")
    sheet.row_dimensions[4].hidden = True
    sheet.column_dimensions["E"].hidden = True
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def old_with_hidden_cells() -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet")
    for row, values in enumerate(SHEET):
        for column, value in enumerate(values):
            if value is not None and (row, column) != (1, 3):
                sheet.write(row, column, value)
    sheet.write_merge(1, 2, 3, 3, "CSE")
    sheet.row(3).hidden = True
    sheet.col(4).hidden = True
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def open_document_with_hidden_cells() -> bytes:
    def row(*texts: str, more: str = "") -> str:
        return ods_row(*(ods_cell(text) if text else "<table:covered-table-cell/>" for text in texts)).replace(
            "<table:table-row", f"<table:table-row {more}", 1
        )

    columns = '<table:table-column table:number-columns-repeated="4"/><table:table-column table:visibility="collapse"/>'
    merged = ods_cell("CSE", more='table:number-rows-spanned="2"')
    return ods(
        columns
        + row("Name", "Email", "USN", "Branch", "CGPA")
        + ods_row(ods_cell("A"), ods_cell("a@b"), ods_cell("1"), merged, ods_cell("7", 7.0))
        + row("B", "b@b", "2", "", "8")
        + row("C", "c@b", "3", "ECE", "9", more='table:visibility="filter"')
        + row("D", "d@b", "4", "", "9")
    )


@pytest.mark.parametrize("make", [with_hidden_cells, old_with_hidden_cells, open_document_with_hidden_cells])
def test_hidden_cells_are_skipped_and_merged_cells_are_read_as_shown(make: Callable[[], bytes]) -> None:
    content = make()
    assert [(row["line"], row["name"], row["branch"], row["cgpa"]) for row in staged(content)] == [
        ("2", "A", "CSE", ""), ("3", "B", "CSE", ""), ("5", "D", "", ""),
    ]  # fmt: skip
    warning = warnings(content)
    assert "Hidden rows" in warning
    assert "(line 4)" in warning
    assert re.search(r"were left out: E \('CGPA'\)\.", warning)


def test_the_error_for_a_missing_column_names_the_hidden_columns() -> None:
    rows = '<cols><col min="2" max="2" width="0"/></cols><sheetData>' + sheet_rows([HEADERS, [*WHO, cell("R1")]])
    content = xlsx("", parts={"xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}">{rows}</sheetData></worksheet>'})
    with pytest.raises(
        Invalid, match=r"no column for email.*Hidden columns of the sheet 'S' were left out: B \('Email'\)"
    ):
        frames(content)


def test_a_row_without_height_is_hidden() -> None:
    rows = sheet_rows([HEADERS, [*WHO, cell("R1")], [*WHO, cell("R2")]])
    first, second, third = rows.split("</row>")[:3]
    flat = second.replace("<row>", '<row ht="0" customHeight="1">')
    assert [row["roll_number"] for row in staged(xlsx(f"{first}</row>{flat}</row>{third}</row>"))] == ["R2"]


def test_a_sheet_is_selected_by_its_number_among_the_visible_ones() -> None:
    book = openpyxl.Workbook()
    for name, state in (("Old", "hidden"), ("CSE", "visible"), ("2", "visible"), ("ECE", "visible")):
        sheet = book.create_sheet(name)
        sheet.sheet_state = state
        sheet.append(["Name", "Email", "USN"])
        sheet.append(["Asha", "a@b", name])
    del book["Sheet"]
    book.active = 1
    content = io.BytesIO()
    book.save(content)

    def read(sheet: str) -> str:
        read_frames = list(read_students(content, "a.xlsx", ReadOptions({}, sheet=sheet)))
        return b"".join(frame.content for frame in read_frames if isinstance(frame, Chunk)).decode().split(",")[5]

    assert (read("1"), read("2"), read("3"), read("ece")) == ("CSE", "2", "ECE", "ECE")
    for unknown in ("0", "4"):
        with pytest.raises(Invalid, match="the number of a visible sheet, from 1"):
            read(unknown)


def test_an_xls_formula_without_a_saved_value_is_refused() -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for column, value in enumerate(["Name", "Email", "USN", "CGPA"]):
        sheet.write(0, column, value)
        sheet.write(1, column, xlwt.Formula("4+4") if value == "CGPA" else f"{value}@b")
    content = io.BytesIO()
    book.save(content)
    (row,) = staged(content.getvalue())
    assert (row["fault_column"], "without a saved value" in row["fault"]) == ("cgpa", True)


@pytest.mark.parametrize(
    ("shown_", "value", "stored"),
    [("1,234,567", 1234567, "1234567"), ("12,34,567", 1234567, "1234567"), ("1,234", 1.234, "1.234")],
)
def test_a_number_of_an_open_document_is_stored_without_its_separators(shown_: str, value: float, stored: str) -> None:
    header = ods_row(*(ods_cell(name) for name in ("Name", "Email", "USN")))
    assert (
        staged(ods(header + ods_row(ods_cell("A"), ods_cell("a@b"), ods_cell(shown_, value))))[0]["roll_number"]
        == stored
    )


def test_a_formula_without_a_saved_value_is_refused_and_an_empty_result_is_empty() -> None:
    uncached, empty = "<c><f>1+1</f><v/></c>", '<c t="str"><f>IF(1,"")</f><v></v></c>'
    rows = staged(xlsx(sheet_rows([HEADERS, [*WHO, cell("R1"), uncached], [*WHO, cell("R2"), empty]])))
    assert [("without a saved value" in row["fault"], row["tenth_percent"]) for row in rows] == [
        (True, ""),
        (False, ""),
    ]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "", "The file is empty"), (b"\n\n", "", "The file is empty"),
        (HEADER.encode(), "", "a header and no rows"),
        (xlsx(""), "", "The file is empty"), (b"%PDF-1.7", "a.csv", "neither CSV nor XLSX"),
        (b"name,email,usn\n", "a.xlsx", "CSV text"), (b"<!DOCTYPE html><table>", "a.xls", "web page"),
        (b"MIME-Version: 1.0", "a.xls", "web page"), (b"BM6\x00\x01\x02\x03", "a.csv", "binary"),
        (b"PK\x05\x06", "a.zip", "ZIP archive"), (b"RIFF\0\0\0\0WEBP", "a.csv", "an image"),
        (b"\x1f\x8b\x08", "a.csv", "gzip"), (b"PK\x03\x04 and then nothing", "a.xlsx", "incomplete or damaged"),
    ],
    ids=count(),
)  # fmt: skip
def test_the_error_names_the_real_format_of_an_unusable_file(content: bytes, name: str, message: str) -> None:
    with pytest.raises(Invalid, match=re.escape(message)):
        frames(content, name)


@pytest.mark.parametrize("footer", ["Total,2,,", "Average,,,7.4", "Prepared by the office,,,", "Grand Total,,,15"])
def test_a_footer_row_is_refused(footer: str) -> None:
    assert staged(f"{HEADER}Asha,a@b,1,7\n{footer}\n")[1]["fault"].startswith("begins with")


def test_a_repeated_header_is_refused() -> None:
    assert staged(f"{HEADER}Asha,a@b,1,7\n{HEADER}")[1]["fault"].startswith("repeats the header")


def test_unlikely_values_give_a_warning() -> None:
    all_small = warnings("name,email,usn,10th,backlogs\nA,a@b,1,9.4,0\nB,b@b,2,10,0\n")
    assert "'10th' (tenth_percent): no value is above 10" in all_small
    assert "every student has 0" in all_small
    some_small = warnings("name,email,usn,10th,backlogs\nA,a@b,1,9.4,0\nB,b@b,2,70,1\nC,c@b,3,,NA\nD,d@b,4,8,\n")
    assert "'10th' (tenth_percent): values of 10 or less: 2 (line 2: 9.4)" in some_small
    assert "'backlogs' (active_backlogs): empty cells: 2 (first: line 4). New students without a value" in some_small
    assert warnings("name,email,usn,10th,backlogs\nA,a@b,1,89.4,0\nB,b@b,2,70,1\n") == ""


def test_a_large_file_is_read_in_chunks() -> None:
    content = HEADER + "".join(f"n{n},n{n}@b,{n},7\n" for n in range(2 * CHUNK_ROWS + 1))
    chunks = [frame.content for frame in frames(content) if isinstance(frame, Chunk)]
    assert [chunk.count(b"\n") for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 1]


MARKS = st.decimals(0, 100, places=2).map(lambda mark: format(mark, "f"))
PADDING = st.sampled_from(["", " ", "  ", "\t", "\u00a0"])


@given(MARKS, PADDING, st.sampled_from(["", "%", " %"]), PADDING)
def test_a_mark_is_stored_without_spaces_and_percent_signs(mark: str, before: str, sign: str, after: str) -> None:
    stored = staged(f"name,email,usn,10th %\nA,a@b,1,{before}{mark}{sign}{after}\nB,b@b,2,80\nC,c@b,3,70\n")
    assert Decimal(stored[0]["tenth_percent"]) == Decimal(mark)


@given(st.floats(0, 10).map(lambda mark: round(mark, 2)), st.integers(-2, 2))
def test_float_rounding_errors_are_removed_from_a_mark(mark: float, steps: int) -> None:
    noisy = f"{mark * (1 + steps * 2.3e-16):.17f}"
    assert Decimal(staged_value("CGPA", "cgpa", noisy)) == Decimal(str(mark))


@given(st.integers(0, 10**9), st.integers(1, 12))
def test_a_padded_number_keeps_its_zeros(value: int, width: int) -> None:
    assert shown(float(value), "0" * width) == str(value).zfill(width)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_any_roll_number_is_stored_trimmed_or_refused(text: str) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([["name", "email", "usn"], ["Asha", "a@college.edu", text]])
    rows = staged(content.getvalue())
    for row in rows:
        assert row["fault"] or row["roll_number"] == row["roll_number"].strip()
        assert "\u200b" not in row["roll_number"]
