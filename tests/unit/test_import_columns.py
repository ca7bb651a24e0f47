"""Which header of a file is which column."""

import pytest

from chassis.errors import Invalid
from services.api.students.columns import ALIASES, COLUMNS, layout_of


def test_our_own_names_are_found_in_any_order() -> None:
    headers = list(reversed(COLUMNS))
    assert layout_of(headers, {}) == {column: headers.index(column) for column in COLUMNS}


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("ssc_p", "tenth_percent"), ("10th", "tenth_percent"), ("Tenth", "tenth_percent"), ("10th %", "tenth_percent"),
        ("hsc_p", "twelfth_percent"), ("12th", "twelfth_percent"), ("CGPA", "cgpa"), ("C.G.P.A.", "cgpa"),
        ("Backlogs", "active_backlogs"), ("Batch", "batch_year"), ("year", "batch_year"), ("Dept.", "department"),
        ("Branch", "branch"), ("No. of Backlogs", "active_backlogs"),
    ],
)  # fmt: skip
def test_other_names_are_known(header: str, column: str) -> None:
    assert layout_of(["Name", "E-Mail", "USN", header], {})[column] == 3


@pytest.mark.parametrize("header", ["roll no", "Roll_No.", "ROLL NUMBER", "usn", "Reg. No", "Enrolment No"])
def test_a_roll_number_goes_by_many_names(header: str) -> None:
    assert layout_of(["Student Name", "Email ID", header], {})["roll_number"] == 2


def test_no_alias_belongs_to_two_columns() -> None:
    names = [name for column in COLUMNS for name in (column.replace("_", ""), *ALIASES[column])]
    assert sorted(names) == sorted(set(names))


def test_unknown_columns_are_left_alone() -> None:
    assert layout_of(["name", "email", "roll_number", "Hostel"], {}) == {"name": 0, "email": 1, "roll_number": 2}


def test_our_own_name_goes_before_an_alias() -> None:
    assert layout_of(["USN", "name", "email", "Roll Number"], {})["roll_number"] == 3


def test_mapping_goes_before_everything_else() -> None:
    headers = ["name", "email", "roll_number", "cgpa", "Final CGPA"]
    assert layout_of(headers, {"cgpa": "final cgpa"})["cgpa"] == 4


def test_a_mapped_header_serves_one_column_only() -> None:
    headers = ["Name", "email", "usn", "Full Name"]
    assert layout_of(headers, {"department": "Name"}) == {"department": 0, "name": 3, "email": 1, "roll_number": 2}


def test_a_missing_column_is_named_with_what_there_is_and_what_to_do() -> None:
    with pytest.raises(Invalid, match=r"no column for roll_number.*Name, E-Mail, Hostel.*mapping") as caught:
        layout_of(["Name", "E-Mail", "Hostel"], {})
    assert caught.value.status == 422
    assert caught.value.errors == [{"column": "roll_number", "reason": "no such column in the file"}]


def test_two_headers_that_fit_are_not_guessed_between() -> None:
    with pytest.raises(Invalid, match=r"'10th' and 'SSC %' could each be tenth_percent"):
        layout_of(["name", "email", "usn", "10th", "SSC %"], {})


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"grade": "Name"}, "there is no column 'grade'"),
        ({"cgpa": "Grade"}, "the file has no header 'Grade'"),
        ({"cgpa": "Name", "name": "Name"}, "two columns are mapped to the same header"),
    ],
)
def test_a_wrong_mapping_is_explained(mapping: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        layout_of(["Name", "email", "usn"], mapping)
