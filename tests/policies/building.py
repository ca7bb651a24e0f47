"""Build small policies and facts for tests of single rules."""

from typing import Any

from contracts.policy.document import Policy
from services.api.policy.evaluation import judge_condition
from services.api.policy.facts import Facts
from services.api.policy.outcome import Outcome
from services.api.policy.parsing import parse_policy
from services.api.policy.situation import Situation

NOW = "2026-11-10T12:00:00Z"
BASE: dict[str, Any] = {
    "levels": [{"id": "base", "to_ctc": 600000}, {"id": "dream", "to_ctc": 1200000}, {"id": "super"}],
    "categories": ["it", "core"],
    "counts": {"CAMPUS": ["open", "accepted", "declined"], "PPO": ["accepted"], "OFF_CAMPUS": []},
    "after_offer": "open",
    "decide_in": {"silence": "decline"},
}


def policy_of(**changes: Any) -> Policy:
    """Return the base policy with ``changes`` to its top-level keys."""
    return Policy.model_validate({**BASE, **changes})


def facts_of(student: dict[str, Any] | None = None, drive: dict[str, Any] | None = None, **season: Any) -> Facts:
    return Facts.model_validate({"season": {"now": NOW, **season}, "student": student or {}, "drive": drive or {}})


def outcome(condition: Any, facts: Facts, policy: Policy | None = None) -> Outcome:
    """Return the result of one condition, written as in a document."""
    holder = policy_of(**({} if policy is None else policy.model_dump(by_alias=True, exclude_unset=True)))
    rule = Policy.model_validate({**BASE, "deny": [{"when": [condition], "message": "No."}]}).deny[0].when[0]
    return judge_condition(rule, Situation(holder, facts)).outcome


def problems(text: str) -> list[str]:
    """Return the problems of a document, each as ``line:column: path: message``."""
    from services.api.policy.located import InvalidDocument

    try:
        parse_policy(text.encode())
    except InvalidDocument as error:
        return [str(problem) for problem in error.problems]
    return []
