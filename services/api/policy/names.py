"""Find names in a policy that do not exist: levels, categories, cohorts, attributes and placeholders."""

import difflib
from collections.abc import Collection, Iterator

from contracts.policy import conditions as grammar
from contracts.policy.conditions import ApplicationBlock, DriveFilter, OfferBlock, OfferFilter
from contracts.policy.document import CategoryScope, LevelScope, Policy
from contracts.policy.grammar import Condition
from services.api.policy.condition_paths import all_conditions
from services.api.policy.counting import OF_THE_DRIVE
from services.api.policy.located import Path
from services.api.policy.messages import PLACEHOLDER, PLACEHOLDERS

# Attributes that every campus records. A season may record more.
ATTRIBUTES = (
    "cgpa", "tenth_percent", "twelfth_percent", "diploma_percent", "active_backlogs", "branch", "batch_year",
    "programme", "gender", "category", "disability", "entry", "attendance_percent",
)  # fmt: skip
HELD_NAMES = ("best_held", "every_held", "any_held")


def unknown_names(policy: Policy, recorded: Collection[str] | None) -> Iterator[tuple[Path, str]]:
    """Yield place and text of each name that does not exist.

    ``recorded``: the attributes that the season records. Without it, only a name close to a known one is an error.
    """
    for path, condition in all_conditions(policy):
        yield from _levels_and_categories(path, condition, policy)
        if isinstance(condition, grammar.CohortPlacedAtLeast):
            cohort = condition.cohort_placed_at_least.cohort
            yield from _check((*path, "cohort_placed_at_least", "cohort"), "cohort", [cohort], policy.cohorts)
        for field in _fields(condition):
            yield from unknown_attribute(path, field, recorded)
    for name, cohort_rule in policy.cohorts.items():
        for field in cohort_rule.same:
            yield from unknown_attribute(("cohorts", name, "same"), field, recorded)
    yield from _outside_conditions(policy)


def unknown_attribute(path: Path, field: str, recorded: Collection[str] | None) -> Iterator[tuple[Path, str]]:
    known = ATTRIBUTES if recorded is None else recorded
    if field in known:
        return
    near = difflib.get_close_matches(field, known, n=1, cutoff=0.75)
    if recorded is not None or near:
        hint = f" Did you mean {near[0]!r}?" if near else ""
        yield path, f"no attribute of students is named {field!r}.{hint} Recorded: {', '.join(sorted(known))}"


def unrecorded_attributes(policy: Policy) -> Iterator[tuple[Path, str]]:
    """Yield the attributes that not every campus records. They are allowed, but the facts must record them."""
    for path, condition in all_conditions(policy):
        for field in _fields(condition):
            if field not in ATTRIBUTES:
                yield path, f"the attribute {field!r} must be recorded for every student, or the rule stays undecided"


def _fields(condition: Condition) -> Iterator[str]:
    if isinstance(condition, grammar.StudentIn):
        yield condition.student_in.field
    if isinstance(condition, grammar.StudentNumber):
        yield condition.student_number.field


def _levels_and_categories(path: Path, condition: Condition, policy: Policy) -> Iterator[tuple[Path, str]]:
    levels = policy.level_ids()
    match condition:
        case grammar.LevelAbove(level_above=rule):
            names = [name for name in (rule.of, rule.at_most) if isinstance(name, str) and name not in HELD_NAMES]
            yield from _check((*path, "level_above"), "level", names, levels)
            if not levels:
                yield path, "compares levels, and the document has no levels"
        case grammar.SameLevel() if not levels:
            yield path, "compares levels, and the document has no levels"
        case grammar.CategoryIn(category_in=names):
            yield from _check((*path, "category_in"), "category", names, policy.categories)
        case _:
            for key, part in condition:
                inner = [part] if key != "held" else [part.any, part.every]
                for block in inner:
                    if isinstance(block, OfferFilter | DriveFilter | OfferBlock | ApplicationBlock):
                        yield from _block((*path, key), block, policy)


def _block(
    path: Path, block: OfferFilter | DriveFilter | OfferBlock | ApplicationBlock, policy: Policy
) -> Iterator[tuple[Path, str]]:
    extra = (OF_THE_DRIVE,) if isinstance(block, OfferBlock | ApplicationBlock) else ()
    yield from _check((*path, "level"), "level", block.level or [], [*policy.level_ids(), *extra])
    yield from _check((*path, "category"), "category", block.category or [], [*policy.categories, *extra])


def _outside_conditions(policy: Policy) -> Iterator[tuple[Path, str]]:
    for number, hold in enumerate(policy.hold):
        for key, kind, limits, known in (
            ("per_level", "level", hold.per_level, policy.level_ids()),
            ("per_category", "category", hold.per_category, policy.categories),
        ):
            if isinstance(limits, dict):
                yield from _check(("hold", number, key), kind, list(limits), known)
    for number, cap in enumerate(policy.caps):
        yield from _block(("caps", number, "of"), cap.of, policy)
    for number, rule in enumerate(policy.penalties):
        place: Path = ("penalties", number, "scope")
        if isinstance(rule.scope, CategoryScope):
            yield from _check(place, "category", [rule.scope.category], policy.categories)
        if isinstance(rule.scope, LevelScope):
            yield from _check(place, "level", [rule.scope.level], policy.level_ids())
    for number, denial in enumerate(policy.deny):
        yield from _check(("deny", number, "message"), "placeholder", PLACEHOLDER.findall(denial.message), PLACEHOLDERS)


def _check(path: Path, kind: str, names: Collection[str], known: Collection[str]) -> Iterator[tuple[Path, str]]:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            yield path, f"there is no {kind} {name!r}.{hint} There are: {', '.join(known) or 'none'}"
