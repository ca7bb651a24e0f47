"""The made-up students: the same every time, plausible, and accepted by the import."""

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
def made() -> list[dict[str, str | int]]:
    return [dict(zip(NAMES, row, strict=True)) for row in student_file.rows(20_000)]


def test_the_same_students_come_every_time_and_more_are_only_added() -> None:
    assert list(student_file.rows(50)) == list(islice(student_file.rows(500), 50))
    assert list(student_file.rows(50, seed=1)) != list(student_file.rows(50, seed=2))


def test_nobody_has_the_address_or_roll_number_of_another(made: list[dict[str, str | int]]) -> None:
    assert len({row["email"] for row in made}) == len({row["roll_number"] for row in made}) == len(made)


def test_marks_are_spread_as_in_a_college(made: list[dict[str, str | int]]) -> None:
    points = [float(row["cgpa"]) for row in made if row["cgpa"]]
    assert 6.5 < mean(points) < 7.5
    assert 0.7 < stdev(points) < 1.2
    assert 0 < min(points) <= max(points) <= 10
    for mark in ("tenth", "twelfth"):
        assert all(30 <= float(row[mark]) <= 100 for row in made if row[mark])
    assert 0.05 < mean(row["backlogs"] != 0 for row in made) < 0.25
    assert 0.01 < mean(row["twelfth"] == "" for row in made) < 0.05
    assert {row["branch"] for row in made} == set(student_file.BRANCHES)


def test_a_weak_student_has_more_backlogs(made: list[dict[str, str | int]]) -> None:
    weak = [int(row["backlogs"]) for row in made if row["cgpa"] and float(row["cgpa"]) < 6]
    strong = [int(row["backlogs"]) for row in made if row["cgpa"] and float(row["cgpa"]) > 8]
    assert mean(weak) > 5 * mean(strong)


def test_the_import_knows_every_column_of_the_file() -> None:
    assert set(layout_of(student_file.HEADER, {}).places) == set(COLUMNS) - {"diploma_percent"}


def test_the_file_has_a_header_and_a_line_for_each(tmp_path: Path) -> None:
    counts: list[int] = []
    student_file.write(tmp_path / "some.csv", 2_500, written=counts.append)
    assert len((tmp_path / "some.csv").read_text().splitlines()) == 2_501
    assert counts == [1_000, 2_000, 2_500]


def test_sample_students_one_to_five_meet_the_contracts_criteria_and_the_others_miss_them_in_different_ways() -> None:
    criteria = Criteria.model_validate({"min_cgpa": "6", "min_10th": "60", "min_12th": "60", "max_backlogs": 0})
    found = [
        reasons_against(Record(**{name: getattr(record, name) for name in Record._fields}), criteria)
        for _, record in students()
    ]
    assert found[:5] == [[]] * 5
    assert [len(reasons) for reasons in found[5:]] == [1] * 5
    assert len({reasons[0] for reasons in found[5:]}) == 5
