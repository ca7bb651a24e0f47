"""Express conditions in plain language. Equal conditions give equal text."""

from collections.abc import Callable, Sequence
from typing import Any

from contracts.policy import conditions as grammar
from contracts.policy.conditions import ApplicationBlock, DriveFilter, OfferBlock, OfferFilter, Window
from contracts.policy.grammar import Condition, Not
from contracts.policy.values import Pay
from services.api.policy.money import exact, rupees

HELD = {
    "best_held": "the best offer that counts",
    "every_held": "every offer that counts",
    "any_held": "an offer that counts",
}
EVENTS = {
    "now": "today",
    "drive_opened": "the day the drive opened",
    "joining": "the joining date",
    "offer_announced": "the last offer's announcement",
    "offer_accepted": "the last acceptance",
    "first_offer_announced": "the first offer's announcement",
    "first_offer_accepted": "the first acceptance",
    "penalty": "the last penalty",
    "season_start": "the start of the season",
}


def condition_text(condition: Condition) -> str:
    """Return ``condition`` as a clause, such as "the drive's category is core"."""
    if isinstance(condition, Not):
        return f"it is not so that {conditions_text(condition.not_)}"
    return TEXTS[type(condition).key_names()[0]](condition)


def conditions_text(conditions: Sequence[Condition]) -> str:
    return " and ".join(condition_text(each) for each in conditions)


def listed(values: Sequence[Any], word: str = "or") -> str:
    names = [str(value) for value in values]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _level_above(condition: grammar.LevelAbove) -> str:
    against, at_most = condition.level_above.of, condition.level_above.at_most
    limit = "" if at_most is None else f", up to {at_most}"
    if isinstance(at_most, int):
        limit = f", by at most {plural(at_most, 'level')}"
    return f"the drive's level is above {f'that of {HELD[against]}' if against in HELD else against}{limit}"


def _same_level(condition: grammar.SameLevel) -> str:
    return f"the drive's level is that of {HELD[condition.same_level.of]}"


def _category_in(condition: grammar.CategoryIn) -> str:
    return f"the drive's category is {listed(condition.category_in)}"


def _pay(pay: Pay) -> str:
    return "total pay" if pay is Pay.TOTAL else "fixed pay"


def _ctc_ratio(condition: grammar.CtcRatioAtLeast) -> str:
    ratio = exact(condition.ctc_ratio_at_least)
    return f"the drive's {_pay(condition.pay)} is at least {ratio} times that of {HELD[condition.to]}"


def _ctc_delta(condition: grammar.CtcDeltaAtLeast) -> str:
    delta = rupees(condition.ctc_delta_at_least)
    return f"the drive's {_pay(condition.pay)} is at least {delta} a year above that of {HELD[condition.to]}"


def _ctc(condition: grammar.CtcAtLeast) -> str:
    return f"the drive's {_pay(condition.pay)} is at least {rupees(condition.ctc_at_least)} a year"


def _held(condition: grammar.Held) -> str:
    wanted = condition.held.any or condition.held.every
    assert wanted is not None
    filtered = filter_text(wanted)
    if condition.held.any is not None:
        return f"an offer counts{f' with {filtered}' if filtered else ''}"
    return f"an offer counts, and every one that counts has {filtered or 'any property'}"


def _drive(condition: grammar.Drive) -> str:
    return f"the drive has {filter_text(condition.drive)}"


def filter_text(wanted: OfferFilter | DriveFilter) -> str:
    """Return the properties that a filter asks for, such as "level dream and class PSU"."""
    values = wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
    pay = _pay(Pay(values.pop("pay", Pay.TOTAL)))
    parts = []
    for name, value in values.items():
        match name:
            case "ctc_at_most":
                parts.append(f"{pay} of at most {rupees(value)}")
            case "ctc_at_least":
                parts.append(f"{pay} of at least {rupees(value)}")
            case "joins_from":
                parts.append(f"joining on {value} or later")
            case "states":
                parts.append(f"state {listed(value)}")
            case _:
                parts.append(f"{name} {listed(value)}")
    return " and ".join(parts)


def block_text(block: OfferBlock | ApplicationBlock) -> str:
    """Return the restrictions of a block as text, such as " of level dream, not counting withdrawn ones"."""
    text = ""
    for name, values in (("level", block.level), ("category", block.category)):
        if values:
            text += f" of {name} {listed(['of the drive' if value == 'drive' else value for value in values])}"
    if block.states:
        text += f" in the state {listed([state.value for state in block.states])}"
    if block.refund:
        text += f", not counting {listed([_state(state.value) for state in block.refund])} ones"
    return text.replace("level of the drive", "the drive's level").replace(
        "category of the drive", "the drive's category"
    )


def _state(state: str) -> str:
    return state.replace("drive_cancelled", "cancelled drives'")


def _offers_total(condition: grammar.OffersTotalBelow) -> str:
    return f"fewer than {plural(condition.offers_total_below, 'offer')}{block_text(condition.of)} count"


def _offers_in(condition: grammar.OffersInBelow) -> str:
    return f"fewer than {plural(condition.offers_in_below, 'offer')}{block_text(condition.of)} count"


def _upgrades(condition: grammar.UpgradesUsedBelow) -> str:
    limit = condition.upgrades_used_below
    return "no upgrade was used" if limit == 1 else f"fewer than {limit} upgrades were used"


def _dream(_condition: grammar.DreamChoiceLeft) -> str:
    return "the company is the dream company that the student named, and that choice is not used"


def _applications(condition: grammar.ApplicationsSinceBelow) -> str:
    since = EVENTS[condition.since]
    count = plural(condition.applications_since_below, "application")
    return f"fewer than {count}{block_text(condition.of)} were made since {since}"


def _shortlists(condition: grammar.ShortlistsBelow) -> str:
    return f"fewer than {plural(condition.shortlists_below, 'shortlist')}{block_text(condition.of)}"


def _cohort(condition: grammar.CohortPlacedAtLeast) -> str:
    share = condition.cohort_placed_at_least
    return f"at least {exact(share.percent)} % of the cohort {share.cohort} are placed"


def _penalty(condition: grammar.PenaltyActive) -> str:
    scope = condition.penalty_active
    kind = "a penalty" if scope == "any" else f"a penalty of scope {scope.replace('_', ' ')}"
    return f"{kind} is in force"


def _student_in(condition: grammar.StudentIn) -> str:
    return f"the student's {_words(condition.student_in.field)} is {listed(condition.student_in.values)}"


def _student_number(condition: grammar.StudentNumber) -> str:
    wanted = condition.student_number
    bounds = [f"at least {exact(wanted.at_least)}"] if wanted.at_least is not None else []
    bounds += [f"at most {exact(wanted.at_most)}"] if wanted.at_most is not None else []
    return f"the student's {_words(wanted.field)} is {' and '.join(bounds)}"


def _words(field: str) -> str:
    return field.replace("_", " ")


def _within(condition: grammar.Within) -> str:
    window = condition.within
    return f"{EVENTS[window.of]} is {window_text(window)}"


def window_text(window: Window) -> str:
    if window.days is not None:
        return f"at most {plural(window.days, 'day')} from now"
    if window.hours is not None:
        return f"at most {plural(window.hours, 'hour')} from now"
    if window.from_ is not None and window.to is not None:
        return f"from {window.from_} to {window.to}"
    return f"on {window.from_} or later" if window.from_ is not None else f"on {window.to} or earlier"


TEXTS: dict[str, Callable[[Any], str]] = {
    "level_above": _level_above,
    "same_level": _same_level,
    "category_in": _category_in,
    "ctc_ratio_at_least": _ctc_ratio,
    "ctc_delta_at_least": _ctc_delta,
    "ctc_at_least": _ctc,
    "held": _held,
    "drive": _drive,
    "offers_total_below": _offers_total,
    "offers_in_below": _offers_in,
    "upgrades_used_below": _upgrades,
    "dream_choice_left": _dream,
    "applications_since_below": _applications,
    "shortlists_below": _shortlists,
    "cohort_placed_at_least": _cohort,
    "penalty_active": _penalty,
    "student_in": _student_in,
    "student_number": _student_number,
    "within": _within,
}
