"""The generated sample students are reproducible and plausible, and the import accepts them."""

from itertools import islice
from pathlib import Path
from statistics import mean, stdev

import pytest

from cli.sample import student_file
from cli.sample.people import students
from contracts.drives import Criteria
from services.api.eligibility.rules import Record, reasons_against
from services.api.students.import_files.layout import layout_of
from services.api.students.import_files.vocabulary import COLUMNS

NAMES = ("name", "email", "roll_number", "branch", "batch", "tenth", "twelfth", "cgpa", "backlogs", "department")


@pytest.fixture(scope="module")
def sample_rows() -> list[dict[str, str | int]]:
    return [dict(zip(NAMES, row, strict=True)) for row in student_file.rows(20_000)]


def test_a_larger_file_begins_with_the_students_of_a_smaller_one() -> None:
    assert list(student_file.rows(50)) == list(islice(student_file.rows(500), 50))
    assert list(student_file.rows(50, seed=1)) != list(student_file.rows(50, seed=2))


def test_addresses_and_roll_numbers_are_unique(sample_rows: list[dict[str, str | int]]) -> None:
    assert (
        len({row["email"] for row in sample_rows})
        == len({row["roll_number"] for row in sample_rows})
        == len(sample_rows)
    )


def test_marks_are_spread_as_in_a_college(sample_rows: list[dict[str, str | int]]) -> None:
    cgpas = [float(row["cgpa"]) for row in sample_rows if row["cgpa"]]
    assert 6.5 < mean(cgpas) < 7.5
    assert 0.7 < stdev(cgpas) < 1.2
    assert 0 < min(cgpas) <= max(cgpas) <= 10
    for mark in ("tenth", "twelfth"):
        assert all(30 <= float(row[mark]) <= 100 for row in sample_rows if row[mark])
    assert 0.05 < mean(row["backlogs"] != 0 for row in sample_rows) < 0.25
    assert 0.01 < mean(row["twelfth"] == "" for row in sample_rows) < 0.05
    assert {row["branch"] for row in sample_rows} == set(student_file.BRANCHES)


def test_a_weak_student_has_more_backlogs(sample_rows: list[dict[str, str | int]]) -> None:
    weak = [int(row["backlogs"]) for row in sample_rows if row["cgpa"] and float(row["cgpa"]) < 6]
    strong = [int(row["backlogs"]) for row in sample_rows if row["cgpa"] and float(row["cgpa"]) > 8]
    assert mean(weak) > 5 * mean(strong)


def test_the_import_maps_every_column_of_the_file() -> None:
    assert set(layout_of(student_file.HEADER, {}).places) == set(COLUMNS) - {"diploma_percent"}


def test_the_file_has_a_header_and_one_line_per_student(tmp_path: Path) -> None:
    counts: list[int] = []
    student_file.write(tmp_path / "some.csv", 2_500, written=counts.append)
    assert len((tmp_path / "some.csv").read_text().splitlines()) == 2_501
    assert counts == [1_000, 2_000, 2_500]


def test_sample_students_one_to_five_meet_the_criteria_and_each_other_one_misses_another_criterion() -> None:
    criteria = Criteria.model_validate({"min_cgpa": "6", "min_10th": "60", "min_12th": "60", "max_backlogs": 0})
    reasons_by_student = [
        reasons_against(Record(**{name: getattr(record, name) for name in Record._fields}), criteria)
        for _, record in students()
    ]
    assert reasons_by_student[:5] == [[]] * 5
    assert [len(reasons) for reasons in reasons_by_student[5:]] == [1] * 5
    assert len({reasons[0] for reasons in reasons_by_student[5:]}) == 5
