"""The sequential model computes the right selections."""

from decimal import Decimal
from typing import Any

from tests.chaos.ledger import Command
from tests.chaos.model import Model

MARKS = {1: Decimal("9.10"), 2: Decimal("8.40"), 3: Decimal("6.00"), 4: None}


def accepted(kind: str, path: str, **body: Any) -> Command:
    return Command(kind, path, "HEAD", 9, body, "key", status=200, answer={"drive_id": 5} if "drives" in path else {})


def test_selections_follow_the_last_criteria_list_and_marks() -> None:
    model = Model(MARKS)
    assert (model.wavering, model.steadfast) == ([1], {2, 3, 4})
    model.learn(accepted("create and publish", "/api/drives", min_cgpa="8.25"))
    assert (model.drives[5].posted, model.drives[5].contested, model.selected(5)) == (True, True, {1, 2})
    model.learn(accepted("publish again", "/api/drives/5/publish", selected_students=[2]))
    assert model.selected(5) == {2}
    model.learn(accepted("revise", "/api/drives/5", min_cgpa="9"))
    assert model.selected(5) == set()
    model.learn(accepted("publish again", "/api/drives/5/publish"))
    assert model.selected(5) == {1}
    model.learn(accepted("marks", "/api/students/1", cgpa="8.6"))
    assert (model.selected(5), model.eligible("8"), model.eligible("")) == (set(), {1, 2}, {1, 2, 3, 4})
