"""``placewire policy``: exit codes, line numbers of errors, and tables."""

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
    """Return the output of the command, and its failure if it failed."""
    result = CliRunner().invoke(app, ["policy", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, Failure), result.exception
    return result.output, result.exception


def test_a_good_policy_can_be_adopted() -> None:
    output, failure = run("check", POLICY)
    assert (failure, "can be adopted, with 0 warnings" in output) == (None, True)


def test_check_explains_each_rule_in_plain_language() -> None:
    output, _ = run("check", POLICY, "--explain")
    assert "caps[0]" in output
    assert "may not apply any more" in " ".join(output.split())


def test_an_invalid_document_is_reported_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY.read_text().replace("after_offer: closed", "after_offer: close"))
    output, failure = run("check", file)
    assert failure is not None
    assert (failure.code, "is not valid: 1 error" in str(failure)) == (1, True)
    assert f"{file}:5:1: after_offer: must be 'open', 'closed' or 'rules', not 'close'" in output


def test_check_reports_why_a_policy_cannot_be_adopted(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY.read_text() + "allow: [[{category_in: it}]]\n")
    output, failure = run("check", file)
    assert failure is not None
    assert "there is no category 'it'" in output
    assert "cannot be adopted: 2 errors" in str(failure)


def test_check_uses_the_attributes_of_the_facts(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    facts.write_text(FACTS)
    file = tmp_path / "p.yaml"
    deny = "deny: [{when: [{student_in: {field: gender, values: [x]}}], message: a}]\n"
    file.write_text(POLICY.read_text() + deny)
    assert run("check", file)[1] is None
    assert "no attribute of students is named 'gender'" in run("check", file, "--facts", facts)[0]


def test_try_runs_all_cases() -> None:
    output, failure = run("try", POLICY, CASES)
    assert (failure, "16 cases, all as expected" in output) == (None, True)


def test_try_reports_a_case_that_differs(tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES.read_text().replace("drive: p1, expect: allowed", "drive: p1, expect: refused", 1))
    output, failure = run("try", POLICY, file, "--failed-only")
    assert failure is not None
    assert str(failure) == "1 of 16 cases failed"
    assert "FAILED" in output
    assert "on the list" not in output


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("expect: allowed", "expct: allowed", "unknown key 'expct'"),
        ("drive: p1,", "drive: p9,", "there is no drive 'p9'"),
        ("state: announced", "state: anounced", "must be one of"),
    ],
)
def test_an_error_in_the_file_of_cases_is_reported(tmp_path: Path, old: str, new: str, expected: str) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES.read_text().replace(old, new, 1))
    output, failure = run("try", POLICY, file)
    assert failure is not None
    assert expected in output


def test_simulate_counts_gained_and_lost_permissions(tmp_path: Path) -> None:
    facts, new = tmp_path / "facts.yaml", tmp_path / "new.yaml"
    facts.write_text(FACTS)
    new.write_text(POLICY.read_text().replace("after_offer: closed", "after_offer: open"))
    output, failure = run("simulate", POLICY, new, "--facts", facts)
    assert failure is None
    assert "2 students and 2 drives: 2 gained, 0 lost, 0 undetermined by the new policy." in output
    assert "2 gained, 0 lost" not in run("simulate", new, new, "--facts", facts)[0]
