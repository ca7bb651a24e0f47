"""Find conditions that can never be true or never be false. Their author probably meant something else."""

from collections.abc import Iterator, Sequence

from contracts.policy import conditions as grammar
from contracts.policy.document import Policy
from contracts.policy.grammar import Condition, Not
from contracts.policy.values import DriveClass, OfferType
from services.api.policy.condition_paths import all_conditions, condition_lists
from services.api.policy.evaluation import judge_condition
from services.api.policy.facts import DriveFacts, Facts, SeasonFacts, StudentFacts
from services.api.policy.located import Path
from services.api.policy.outcome import Tri, all_of
from services.api.policy.situation import Situation

NEVER_TRUE, NEVER_FALSE = "can never be true", "can never be false"


def constant_conditions(
    policy: Policy, season: SeasonFacts | None, drives: Sequence[DriveFacts]
) -> Iterator[tuple[Path, str]]:
    """Yield place and text of each constant condition. With ``drives``, it need only be constant for these drives."""
    for path, condition in all_conditions(policy):
        in_allow = path[0] == "allow" and "not" not in path
        reason = _by_itself(condition, policy, season, in_allow=in_allow)
        if reason is None and season and drives:
            reason = _for_drives(condition, policy, season, drives)
        if reason:
            yield path, reason
    for path, conditions in condition_lists(policy):
        yield from _contradictions(path, conditions)
        if season and drives:
            yield from _impossible_together(path, conditions, policy, season, drives)


def _by_itself(condition: Condition, policy: Policy, season: SeasonFacts | None, *, in_allow: bool) -> str | None:
    reason: str | None = None
    match condition:
        case grammar.LevelAbove(level_above=rule):
            reason = _level_above(rule, policy)
        case grammar.CategoryIn(category_in=names) if set(names) >= set(policy.categories) > set():
            reason = f"{NEVER_FALSE}: it lists every category"
        case grammar.Drive(drive=wanted):
            reason = _drive(wanted, policy)
        case grammar.CtcAtLeast(ctc_at_least=0):
            reason = f"{NEVER_FALSE}: pay is never below 0"
        case grammar.StudentNumber(student_number=bounds):
            if bounds.at_least is not None and bounds.at_most is not None and bounds.at_least > bounds.at_most:
                reason = f"{NEVER_TRUE}: at_least is more than at_most"
        case grammar.Within(within=window):
            reason = _window(window, season)
        case grammar.OffersTotalBelow(offers_total_below=1, of=block) if in_allow and not block.model_fields_set:
            reason = f"{NEVER_TRUE}: `allow` is only judged when at least one offer counts"
        case grammar.Held(held=held):
            reason = _held(held.any or held.every, in_allow and held.any is not None)
    return reason


def _level_above(rule: grammar.LevelComparison, policy: Policy) -> str | None:
    levels = policy.level_ids()
    if rule.of in levels:
        if rule.of == levels[-1]:
            return f"{NEVER_TRUE}: no level is above {rule.of}"
        if (
            isinstance(rule.at_most, str)
            and rule.at_most in levels
            and levels.index(rule.at_most) <= levels.index(rule.of)
        ):
            return f"{NEVER_TRUE}: no level is above {rule.of} and at most {rule.at_most}"
    if len(levels) == 1 or (isinstance(rule.at_most, str) and levels and rule.at_most == levels[0]):
        return f"{NEVER_TRUE}: there is no such level"
    return None


def _drive(wanted: grammar.DriveFilter, policy: Policy) -> str | None:
    if len(wanted.model_fields_set) > 1:
        return None
    for name, values, every in (
        ("level", wanted.level, policy.level_ids()),
        ("category", wanted.category, policy.categories),
        ("type", wanted.type, list(OfferType)),
        ("class", wanted.class_, list(DriveClass)),
    ):
        if values and every and set(values) >= set(every):
            return f"{NEVER_FALSE}: it lists every {name}"
    return None


def _window(window: grammar.Window, season: SeasonFacts | None) -> str | None:
    if window.from_ and window.to and window.from_ > window.to:
        return f"{NEVER_TRUE}: from is after to"
    if season is None or window.of not in ("now", "drive_opened"):
        return None
    if (season.end and window.from_ and window.from_ > season.end) or (
        season.start and window.to and window.to < season.start
    ):
        return f"{NEVER_TRUE}: the window is outside the season"
    return None


def _held(wanted: grammar.OfferFilter | None, any_in_allow: bool) -> str | None:
    if wanted is None:
        return None
    if wanted.ctc_at_least is not None and wanted.ctc_at_most is not None and wanted.ctc_at_least > wanted.ctc_at_most:
        return f"{NEVER_TRUE}: ctc_at_least is more than ctc_at_most"
    if any_in_allow and not wanted.model_fields_set:
        return f"{NEVER_FALSE}: `allow` is only judged when at least one offer counts"
    return None


def _depends_on_drive_alone(condition: Condition) -> bool:
    match condition:
        case grammar.CategoryIn() | grammar.Drive() | grammar.CtcAtLeast():
            return True
        case grammar.LevelAbove(level_above=rule):
            return rule.of not in ("best_held", "every_held", "any_held")
        case grammar.Within(within=window):
            return window.of in ("drive_opened", "joining") and window.days is None and window.hours is None
        case Not(not_=inner):
            return all(_depends_on_drive_alone(each) for each in inner)
        case _:
            return False


def _results(condition: Condition, policy: Policy, season: SeasonFacts, drives: Sequence[DriveFacts]) -> list[Tri]:
    facts = [Facts(season=season, student=StudentFacts(), drive=drive) for drive in drives]
    return [judge_condition(condition, Situation(policy, each)).holds for each in facts]


def _for_drives(condition: Condition, policy: Policy, season: SeasonFacts, drives: Sequence[DriveFacts]) -> str | None:
    if not _depends_on_drive_alone(condition):
        return None
    results = set(_results(condition, policy, season, drives))
    if results == {False}:
        return f"{NEVER_TRUE} for any drive of the season"
    return f"{NEVER_FALSE} for any drive of the season" if results == {True} else None


def _impossible_together(
    path: Path, conditions: Sequence[Condition], policy: Policy, season: SeasonFacts, drives: Sequence[DriveFacts]
) -> Iterator[tuple[Path, str]]:
    on_drives = [condition for condition in conditions if _depends_on_drive_alone(condition)]
    columns = [_results(condition, policy, season, drives) for condition in on_drives]
    if len(on_drives) > 1 and all(set(column) != {False} for column in columns):
        together = [all_of(row) for row in zip(*columns, strict=True)]
        if set(together) == {False}:
            yield path, f"{NEVER_TRUE} for any drive of the season: its conditions never hold together"


def _contradictions(path: Path, conditions: Sequence[Condition]) -> Iterator[tuple[Path, str]]:
    plain = [each for each in conditions if not isinstance(each, Not)]
    for number, condition in enumerate(conditions):
        if isinstance(condition, Not) and len(condition.not_) == 1 and condition.not_[0] in plain:
            yield (*path, number), f"{NEVER_TRUE}: the list also asks for the opposite"
        if condition in conditions[:number]:
            yield (*path, number), "repeats a condition of the same list"
