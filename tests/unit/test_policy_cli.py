"""``placewire policy``: exit codes, errors with their line, tables."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.failures import Failure
from cli.main import app
from tests.policies.packs import FOLDER

POLICY = FOLDER / "iit_kanpur.policy.yaml"
CASES = FOLDER / "iit_kanpur.cases.yaml"
FACTS = """\
season: {now: "2026-11-10T12:00:00Z"}
drives: [{id: d1}, {id: d2}]
students:
  - {id: free}
  - {id: placed, offers: [{state: accepted}]}
"""


def run(*arguments: object) -> tuple[str, Failure | None]:
    """Return what the command printed, and how it failed."""
    done = CliRunner().invoke(app, ["policy", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, Failure), done.exception
    return done.output, done.exception


def test_a_good_policy() -> None:
    said, failure = run("check", POLICY)
    assert (failure, "can be adopted, with 0 warnings" in said) == (None, True)


def test_each_rule_in_plain_language() -> None:
    said, _ = run("check", POLICY, "--explain")
    assert "caps[0]" in said
    assert "may not apply any more" in " ".join(said.split())


def test_a_document_that_is_not_valid_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY.read_text().replace("after_offer: closed", "after_offer: close"))
    said, failure = run("check", file)
    assert failure is not None
    assert (failure.code, "is not valid: 1 error" in str(failure)) == (1, True)
    assert f"{file}:5:1: after_offer: must be 'open', 'closed' or 'rules', not 'close'" in said


def test_a_document_that_cannot_be_adopted(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY.read_text() + "allow: [[{category_in: it}]]\n")
    said, failure = run("check", file)
    assert failure is not None
    assert "there is no category 'it'" in said
    assert "cannot be adopted: 2 errors" in str(failure)


def test_facts_are_checked_against(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    facts.write_text(FACTS)
    file = tmp_path / "p.yaml"
    deny = "deny: [{when: [{student_in: {field: gender, values: [x]}}], message: a}]\n"
    file.write_text(POLICY.read_text() + deny)
    assert run("check", file)[1] is None
    assert "no attribute of students is named 'gender'" in run("check", file, "--facts", facts)[0]


def test_cases() -> None:
    said, failure = run("try", POLICY, CASES)
    assert (failure, "16 cases, all as expected" in said) == (None, True)


def test_a_case_that_differs(tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES.read_text().replace("drive: p1, expect: allowed", "drive: p1, expect: refused", 1))
    said, failure = run("try", POLICY, file, "--failed-only")
    assert failure is not None
    assert str(failure) == "1 of 16 cases failed"
    assert "FAILED" in said
    assert "on the list" not in said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("expect: allowed", "expct: allowed", "unknown key 'expct'"),
        ("drive: p1,", "drive: p9,", "there is no drive 'p9'"),
        ("state: announced", "state: anounced", "must be one of"),
    ],
)
def test_a_file_of_cases_with_an_error(tmp_path: Path, old: str, new: str, expected: str) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES.read_text().replace(old, new, 1))
    said, failure = run("try", POLICY, file)
    assert failure is not None
    assert expected in said


def test_a_simulation(tmp_path: Path) -> None:
    facts, new = tmp_path / "facts.yaml", tmp_path / "new.yaml"
    facts.write_text(FACTS)
    new.write_text(POLICY.read_text().replace("after_offer: closed", "after_offer: open"))
    said, failure = run("simulate", POLICY, new, "--facts", facts)
    assert failure is None
    assert "2 students and 2 drives: 2 gained, 0 lost, 0 undetermined by the new policy." in said
    assert "2 gained, 0 lost" not in run("simulate", new, new, "--facts", facts)[0]
