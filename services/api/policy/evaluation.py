"""Evaluate conditions. Every condition of a valid document has a result for any facts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts.policy.grammar import Condition, Not
from services.api.policy import comparisons, counting, penalties, student_conditions
from services.api.policy.outcome import Outcome, Tri, all_of, negated
from services.api.policy.situation import Situation
from services.api.policy.wording import condition_text

EVALUATORS: dict[str, Callable[[Any, Situation], Outcome]] = {
    "level_above": comparisons.level_above,
    "same_level": comparisons.same_level,
    "category_in": comparisons.category_in,
    "ctc_ratio_at_least": comparisons.ctc_ratio_at_least,
    "ctc_delta_at_least": comparisons.ctc_delta_at_least,
    "ctc_at_least": comparisons.ctc_at_least,
    "held": comparisons.held,
    "drive": comparisons.drive,
    "offers_total_below": counting.offers_total_below,
    "offers_in_below": counting.offers_in_below,
    "upgrades_used_below": counting.upgrades_used_below,
    "dream_choice_left": counting.dream_choice_left,
    "applications_since_below": counting.applications_since_below,
    "shortlists_below": counting.shortlists_below,
    "cohort_placed_at_least": student_conditions.cohort_placed_at_least,
    "penalty_active": penalties.penalty_active,
    "student_in": student_conditions.student_in,
    "student_number": student_conditions.student_number,
    "within": student_conditions.within,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One condition with its text and its result."""

    text: str
    outcome: Outcome

    @property
    def holds(self) -> Tri:
        return self.outcome.holds


def judge_condition(condition: Condition, situation: Situation) -> Judged:
    """Return the result of one condition. A missing fact is listed only if the result is unknown."""
    text = condition_text(condition)
    if isinstance(condition, Not):
        inner = judge_conditions(condition.not_, situation)
        outcome = Outcome(
            negated(all_of(result.holds for result in inner)),
            f"not ({'; '.join(result.outcome.required for result in inner)})",
            "; ".join(result.outcome.yours for result in inner),
            tuple(fact for result in inner if result.holds is None for fact in result.outcome.missing),
        )
    else:
        outcome = EVALUATORS[type(condition).key_names()[0]](condition, situation)
    return Judged(text, outcome if outcome.holds is None else replace(outcome, missing=()))


def judge_conditions(conditions: Sequence[Condition], situation: Situation) -> tuple[Judged, ...]:
    return tuple(judge_condition(each, situation) for each in conditions)


def conditions_hold(conditions: Sequence[Condition], situation: Situation) -> Tri:
    return all_of(result.holds for result in judge_conditions(conditions, situation))
