"""Every file of ``tests/cases`` is imported as a reader of the sheet expects, or refused with a useful message."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Api

CASES = Path(__file__).parents[1] / "cases"
IMPORT = "/api/students/import"
# tests/integration/test_import_updates.py imports these two files.
UPDATES = {"c44_reimport.csv", "c44_update.csv"}

Stored = dict[str, dict[str, Any]]
FULL = {
    "branch": "CSE", "batch_year": 2026, "tenth_percent": "80.50", "twelfth_percent": "77.00", "cgpa": "8.10",
    "active_backlogs": 0,
}  # fmt: skip


def full(*rolls: str, **others: Any) -> Stored:
    return dict.fromkeys(rolls, FULL | others)


# File → roll number → the stored values.
IMPORTED: dict[str, Stored] = {
    "bulk_invite.csv": {"CS001": {"branch": "CSE", "department": "CSE"}, "EC001": {"branch": "ECE"}},
    "c04_sep_line.csv": full("C04001"),
    "c11_blank_space_rows.csv": full("C11001"),
    "c12_short_rows.csv": full("C12001") | {"C12B": FULL | {"cgpa": None}},
    "c13_trailing_comma_rows.csv": full("C13001", "C13002"),
    "c15_title_rows.csv": full("C15001"),
    "c18_percent_sign.csv": full("C18001"),
    "c19_comma_decimal.csv": full("C19001"),
    "c20_missing_marks.csv": full("C20001", "C20002", "C20003", "C20004", twelfth_percent=None)
    | full("C20005", "C20006")
    | full("C20007", cgpa=None),
    "c23_float_roll.csv": full("210521001"),
    **{f"c25_0{n}.csv": {f"C25X00{n}": {"cgpa": "8.20"}} for n in range(6)},
    "c25_marks_cgpa_header.csv": {"C25001": {"cgpa": "8.20", "branch": "CSE", "batch_year": 2026}},
    **{f"c26_0{n}.csv": {f"C26X00{n}": {"active_backlogs": 4}} for n in (0, 1, 2, 4, 5)},
    "c26_backlog_header.csv": {"C26001": {"active_backlogs": 4}},
    **{f"c27_0{n}.csv": {f"C27X00{n}": {"tenth_percent": "91.00", "twelfth_percent": "88.00"}} for n in range(6)},
    "c28_first_last.csv": {"C28001": {"name": "Asha Test", "cgpa": "8.20"}},
    "c35_inner_quotes.csv": full("C35001")
    | {"C35002": {"name": 'Asha "AT" Test'}, "C35003": {"name": "Bala Test"}},
    "m1_r_row_numbers.csv": {"M11": {"tenth_percent": None, "cgpa": "8.10"}, "M12": {"tenth_percent": None}},
    "m2_course_and_department.csv": {"M21": {"branch": "CSE", "department": "CSE"}},
    "m7_pandas_floats.csv": {"2105001": {"batch_year": 2026}, "2105002": {"batch_year": None}},
    "p1_password_column.csv": {"P1001": {"name": "Asha Pass"}},
    "portal_sample_students.csv": {
        "STU001": {"cgpa": "8.20", "branch": "Computer Science", "batch_year": 2025},
        "STU010": {"cgpa": "8.00", "branch": "Marketing"},
    },
    "ten_point_class_marks.csv": {"TP000": {"tenth_percent": "9.40"}},
    "x01b_percent_cells.xlsx": {
        "X01B001": {"tenth_percent": "91.00", "twelfth_percent": "100.00"}, "X01B002": {"tenth_percent": "80.00"},
    },
    "x04_float_artifacts.xlsx": full("X04001", cgpa="7.85") | full("X04003", cgpa="8.17"),
    "x05_zero_padded_format.xlsx": full("000421", "000007"),
    "x07_hidden_first_sheet.xlsx": full("X07001", tenth_percent="80.00"),
    "x08_sheet_per_branch.xlsx": full("X08C001", "X08C002")
    | full("X08ECE", branch="ECE", tenth_percent="80.00")
    | full("X08MECH", branch="MECH", tenth_percent="80.00"),
    "x19_strict.xlsx": full("XPL001"),
    "x20_bad_style.xlsx": full("XPL001"),
    "x26_title_rows.xlsx": full("X26001", tenth_percent="80.00"),
}  # fmt: skip

# File → the line, the column and a part of the reason of each bad row.
BAD_ROWS: dict[str, list[tuple[int, str | None, str]]] = {
    "c17_footer.csv": [(3, None, "looks like a footer, not a student: remove the row")],
    "c22_scientific_roll.csv": [
        (line, "roll_number", "Excel has shortened, its last digits are lost: format the column as text")
        for line in (2, 3)
    ],
    "c32_invisible.csv": [
        (2, "email", "U+200B"), (3, "roll_number", "U+00A0"), (4, "name", "U+200B"), (5, "roll_number", "U+FEFF"),
        (6, "email", "U+200B, zero width space): delete it"),
    ],
    "c33b_email_odd.csv": [
        (2, "email", "remove 'mailto:'"), (4, "email", "a dot too many"), (5, "email", "a dot too many"),
        (6, "email", "keep one address"),
    ],
    "x02_formula_uncached.xlsx": [(2, "cgpa", "open the file in your spreadsheet, save it")],
    "x24b_error_text.xlsx": [(2, "name", "holds #REF!, the error of a formula: correct the formula")],
    "x34_roll_is_date.xlsx": [
        (2, "roll_number", "holds a date (2026-12-01): format the cell as text"), (3, "roll_number", "holds a time"),
        (4, "roll_number", "the truth value TRUE"),
    ],
}  # fmt: skip

# File → parts of the message, which says what is wrong or unclear and what to do.
REFUSED: dict[str, tuple[str, ...]] = {
    "c06_utf16_nobom.csv": ("UTF-16", "save it as 'CSV UTF-8'"),
    "c26_03.csv": ("'Total Backlogs'", '{"active_backlogs": "Total Backlogs"}', '{"active_backlogs": null}'),
    "c42_html.xls": ("web page (HTML)", "Save it as .xlsx"),
    "college_portal_students.csv": ("'year'", "'3rd year'", '{"batch_year": null}'),
    "m6_only_history.csv": ("'Total no. of backlogs till date'", "a history of backlogs", '{"active_backlogs": null}'),
    "recruitment_layout.csv": ("'degree_p'", "'etest_p'", "'mba_p'", '{"cgpa": null}'),
    "x11_row_2e9.xlsx": ("a row 2,000,000,000", "at most 1,048,576 rows"),
    "x12_password.xlsx": ("protected by a password", "remove the password"),
    "x15_csv_named.xlsx": ("CSV text", "Rename it to end in .csv"),
}

# Files in which two rows have the same identity, in another letter case, spacing or Unicode form.
TWINS = {"c29_email_case.csv": "email", "c30_roll_case.csv": "roll_number", "c31_nfc_nfd.csv": "roll_number"}

WARNED = {
    "p1_password_column.csv": "invite the students",
    "ten_point_class_marks.csv": "no value is above 10",
    "x04_float_artifacts.xlsx": "8.166666666666666 to 8.17",
    "x07_hidden_first_sheet.xlsx": "hidden sheet 'Old' was left out",
    "m2_course_and_department.csv": "no column for active_backlogs",
}
UNUSED = {
    "m1_r_row_numbers.csv": ("X", "numbers of the rows"),
    "m2_course_and_department.csv": ("Course", "degrees"),
    "p1_password_column.csv": ("Password", "not imported"),
}


async def send_case(api: Api, name: str, *, dry_run: bool = False, **fields: str) -> Any:
    content = (CASES / name).read_bytes()
    return await api.post(
        IMPORT, params={"dry_run": str(dry_run).lower()}, files={"file": (name, content)}, data=fields
    )


def test_every_case_has_an_expected_result() -> None:
    expected = [*IMPORTED, *BAD_ROWS, *REFUSED, *TWINS, *UPDATES]
    assert sorted(expected) == sorted(path.name for path in CASES.iterdir() if path.suffix != ".md")


@pytest.mark.parametrize("name", [*IMPORTED, *BAD_ROWS, *REFUSED, *TWINS])
async def test_a_case_is_stored_as_shown_or_refused_with_a_useful_message(api: Api, name: str) -> None:
    answer = await send_case(api, name)
    body = answer.json()
    if name in IMPORTED:
        assert answer.status_code == 200, body
        students = {student["roll_number"]: student for student in (await api.get("/api/students?limit=100")).json()}
        for roll, expected in IMPORTED[name].items():
            assert {key: students[roll][key] for key in expected} == expected
        assert WARNED.get(name, "") in " ".join(body["warnings"])
        if name in UNUSED:
            header, reason = UNUSED[name]
            (column,) = [column for column in body["columns"] if column["header"] == header]
            assert (column["used_as"], reason in column["reason"]) == (None, True)
        return
    assert answer.status_code == 422, body
    if name in REFUSED:
        assert [part for part in REFUSED[name] if part not in body["message"]] == []
    elif name in TWINS:
        assert TWINS[name] in {error["column"] for error in body["errors"]}
    else:
        bad_rows = [(error["line"], error["column"]) for error in body["errors"]]
        assert bad_rows == [(line, column) for line, column, _ in BAD_ROWS[name]]
        assert all(part in error["reason"] for error, (*_, part) in zip(body["errors"], BAD_ROWS[name], strict=True))
    assert (await api.get("/api/students")).json() == []


@pytest.mark.parametrize(
    ("name", "mapping", "stored"),
    [
        ("c26_03.csv", {"active_backlogs": "Total Backlogs"}, {"active_backlogs": 4}),
        ("m6_only_history.csv", {"active_backlogs": None}, {"active_backlogs": 0}),
        ("college_portal_students.csv", {"batch_year": None}, {"batch_year": None, "branch": "CSE"}),
        ("recruitment_layout.csv", {"cgpa": None}, {"tenth_percent": "71.50", "branch": "Mkt&Fin", "cgpa": None}),
    ],
)
async def test_a_mapping_resolves_an_unclear_column(
    api: Api, name: str, mapping: dict[str, str | None], stored: dict[str, Any]
) -> None:
    answer = await send_case(api, name, mapping=json.dumps(mapping), mode="insert")
    assert answer.status_code == 200, answer.text
    student = (await api.get("/api/students?limit=1")).json()[0]
    assert {key: student[key] for key in stored} == stored


async def test_the_header_row_and_the_sheet_can_be_selected(api: Api) -> None:
    assert (await send_case(api, "c15_title_rows.csv", header_row="3")).status_code == 200
    assert (await send_case(api, "x08_sheet_per_branch.xlsx", sheet="ECE", mapping="{}")).json()["imported"] == 1
    wrong = await send_case(api, "x08_sheet_per_branch.xlsx", sheet="Civil")
    assert (wrong.status_code, "'CSE', 'ECE', 'MECH'" in wrong.json()["message"]) == (422, True)
    too_far = await send_case(api, "c15_title_rows.csv", header_row="99")
    assert (too_far.status_code, "header_row" in too_far.json()["message"]) == (422, True)


async def test_the_error_of_a_bad_row_names_its_sheet(api: Api) -> None:
    assert (await send_case(api, "x08_sheet_per_branch.xlsx", sheet="MECH")).status_code == 200
    errors = (await send_case(api, "x08_sheet_per_branch.xlsx", dry_run=True)).json()["errors"]
    assert {(error["line"], "sheet 'MECH'" in error["reason"]) for error in errors} == {(2, True)}


async def test_options_of_a_raw_body_are_query_parameters(api: Api) -> None:
    content = (CASES / "c26_03.csv").read_bytes()
    answer = await api.post(
        IMPORT, params={"mapping": '{"active_backlogs": null}'}, content=content, headers={"Content-Type": "text/csv"}
    )
    assert (answer.status_code, answer.json()["valid"]) == (200, 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"mappings": "{}"}, "Unknown field: mappings"),
        ({"header_row": "0"}, "header_row must be"),
        ({"mode": "merge"}, "mode must be insert or upsert"),
        ({"mapping": '{"name": null}'}, "name cannot be left out"),
        ({"mapping": '{"cgpa": "A", "cgpa": "B"}'}, "cgpa twice"),
        ({"sheet": "CSE"}, "a CSV file has no sheets"),
    ],
)
async def test_an_invalid_option_is_refused(api: Api, fields: dict[str, str], expected: str) -> None:
    answer = await send_case(api, "c04_sep_line.csv", dry_run=False, **fields)
    assert (answer.status_code, expected in answer.json()["message"]) == (422, True), answer.text
