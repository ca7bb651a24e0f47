"""The examples of docs/policy.md are valid, and the page names every key, condition and reason."""

import re
from pathlib import Path

import pytest

from contracts.policy.document import Policy
from contracts.policy.grammar import NAMED
from services.api.policy.decision import Code
from services.api.policy.parsing import parse_policy
from services.api.policy.yaml_reader import read_yaml
from tests.policies.building import BASE

GUIDE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
EXAMPLES = re.findall(r"^\| `(\{.*?\}|dream_choice_left)`(?:,| \|)", GUIDE, re.MULTILINE)


def test_the_example_document_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert parse_policy(example.encode())[0].allow


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_a_condition_is_valid(example: str) -> None:
    value = read_yaml(example.replace("...", "same_level")).value
    assert Policy.model_validate({**BASE, "deny": [{"when": [value], "message": "No."}]}).deny


def test_every_key_condition_and_reason_is_described() -> None:
    described = {name for example in EXAMPLES for name in NAMED if name in example}
    assert described == set(NAMED)
    assert [key for key in Policy.model_fields if f"`{key}`" not in GUIDE] == []
    # These results permit an application, so no decision has them as its reason.
    codes = set(Code) - {Code.NOT_DENIED, Code.WITHIN_LIMIT, Code.CRITERIA_MET}
    assert [code for code in codes if f"`{code}`" not in GUIDE] == []
