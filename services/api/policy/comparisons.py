"""Evaluate conditions on the drive and on held offers, and conditions that compare the two."""

from collections.abc import Callable
from datetime import date

from contracts.policy import conditions as grammar
from contracts.policy.conditions import DriveFilter, OfferFilter
from contracts.policy.values import Against, Pay
from services.api.policy.facts import Classified, DriveFacts, OfferFacts
from services.api.policy.money import exact, rupees
from services.api.policy.outcome import Outcome, Tri, all_of, any_of
from services.api.policy.situation import Situation, agreed, named, pay_of
from services.api.policy.text_values import same_text

# A test of the drive's pay against the pay of a held offer.
PayTest = Callable[[int, int], bool]


def level_above(condition: grammar.LevelAbove, situation: Situation) -> Outcome:
    """Return whether the drive's level is above another level. Without a counting offer, the condition holds."""
    against, at_most = condition.level_above.of, condition.level_above.at_most
    drive_rank = situation.rank(situation.level(situation.drive))
    missing = () if drive_rank is not None else (missing_level("drive", situation.drive, situation),)

    def compare(rank: int | None) -> Tri:
        if rank is None or drive_rank is None:
            return None
        limit = situation.rank(at_most) if isinstance(at_most, str) else None if at_most is None else rank + at_most
        return drive_rank > rank and (limit is None or drive_rank <= limit)

    if against not in ("best_held", "every_held", "any_held"):
        return Outcome(
            compare(situation.rank(against)),
            f"a level above {against}",
            _level_shown(situation.drive, situation),
            missing,
        )
    offers = situation.compared_with(against, situation.policy.level_pay)
    results = [compare(situation.rank(situation.level(offer))) for offer in offers]
    if not offers:
        return _with_none_held(True, "a level above the offers you hold", situation)
    holds = _combined(results, against)
    held = ", ".join(f"{named(offer)} ({_level_shown(offer, situation)})" for offer in offers)
    yours = f"drive: {_level_shown(situation.drive, situation)}; held: {held}"
    return Outcome(holds, f"a level above {against}", yours, (*missing, *_unlevelled(offers, situation)))


def same_level(condition: grammar.SameLevel, situation: Situation) -> Outcome:
    """Return whether the drive has the level of held offers. Without a counting offer, the condition does not hold."""
    against = condition.same_level.of
    offers = situation.compared_with(against, situation.policy.level_pay)
    if not offers:
        return _with_none_held(False, "the level of an offer you hold", situation)
    level = situation.level(situation.drive)
    results: list[Tri] = [
        None if level is None or situation.level(offer) is None else level == situation.level(offer) for offer in offers
    ]
    holds = _combined(results, against)
    missing = () if level else (missing_level("drive", situation.drive, situation),)
    held = ", ".join(_level_shown(offer, situation) for offer in offers)
    yours = f"drive: {_level_shown(situation.drive, situation)}; held: {held}"
    return Outcome(holds, f"the same level as {against}", yours, (*missing, *_unlevelled(offers, situation)))


def _combined(results: list[Tri], against: str) -> Tri:
    if against == Against.BEST.value:
        return agreed(results)
    return any_of(results) if against == "any_held" else all_of(results)


def category_in(condition: grammar.CategoryIn, situation: Situation) -> Outcome:
    required = ", ".join(condition.category_in)
    category = situation.drive.category
    if category is None:
        return Outcome(None, required, "not on record", ("drive.category",))
    return Outcome(category in condition.category_in, required, category)


def ctc_ratio_at_least(condition: grammar.CtcRatioAtLeast, situation: Situation) -> Outcome:
    ratio = condition.ctc_ratio_at_least

    def compare(drive_pay: int, held_pay: int) -> bool:
        return drive_pay >= ratio * held_pay

    return _pay_compared(condition.to, condition.pay, compare, f"{exact(ratio)} times {condition.to}", situation)


def ctc_delta_at_least(condition: grammar.CtcDeltaAtLeast, situation: Situation) -> Outcome:
    delta = condition.ctc_delta_at_least

    def compare(drive_pay: int, held_pay: int) -> bool:
        return drive_pay >= held_pay + delta

    return _pay_compared(condition.to, condition.pay, compare, f"{rupees(delta)} above {condition.to}", situation)


def _pay_compared(to: Against, pay: Pay, compare: PayTest, required: str, situation: Situation) -> Outcome:
    offers = situation.compared_with(to.value, pay)
    if not offers:
        return _with_none_held(True, required, situation)
    drive_pay = pay_of(situation.drive, pay)
    results: list[Tri] = [
        None if drive_pay is None or (held := pay_of(offer, pay)) is None else compare(drive_pay, held)
        for offer in offers
    ]
    holds = agreed(results) if to is Against.BEST else all_of(results)
    missing = [] if drive_pay is not None else [f"drive.{_pay_field(pay)}"]
    missing += [f"offers[{offer.id}].{_pay_field(pay)}" for offer in offers if pay_of(offer, pay) is None]
    held_text = ", ".join(f"{named(offer)} {rupees(pay_of(offer, pay))}" for offer in offers)
    return Outcome(holds, required, f"drive: {rupees(drive_pay)}; held: {held_text}", tuple(missing))


def ctc_at_least(condition: grammar.CtcAtLeast, situation: Situation) -> Outcome:
    pay = pay_of(situation.drive, condition.pay)
    required = f"at least {rupees(condition.ctc_at_least)}"
    if pay is None:
        return Outcome(None, required, "not on record", (f"drive.{_pay_field(condition.pay)}",))
    return Outcome(pay >= condition.ctc_at_least, required, rupees(pay))


def held(condition: grammar.Held, situation: Situation) -> Outcome:
    """Return whether any or every held offer matches. Without an offer, ``every`` does not hold."""
    wanted = condition.held.any or condition.held.every
    assert wanted is not None
    required = "such an offer held" if condition.held.any else "only such offers held"
    pool = situation.counting if wanted.states is None else situation.of_counting_sources(wanted.states)
    if not situation.offers_known:
        return Outcome(None, required, "not on record", ("student.offers",))
    matches = [offer_matches(wanted, offer, situation) for offer in pool]
    results = [result for result, _ in matches]
    holds = any_of(results) if condition.held.any else bool(pool) and all_of(results)
    shown = ", ".join(named(offer) for offer in pool) or "none held"
    missing = tuple(
        f"offers[{offer.id}].{field}"
        for offer, (_, missing_fields) in zip(pool, matches, strict=True)
        for field in missing_fields
    )
    return Outcome(holds, required, shown, missing if holds is None else ())


def offer_matches(wanted: OfferFilter, offer: OfferFacts, situation: Situation) -> tuple[Tri, list[str]]:
    """Return whether ``offer`` matches the filter ``wanted``, and which of its facts are missing."""
    pay = pay_of(offer, wanted.pay)
    tests: dict[str, Tri] = _shared_tests(wanted, offer, situation)
    tests["source"] = wanted.source is None or offer.source in wanted.source
    if wanted.ctc_at_most is not None:
        tests[_pay_field(wanted.pay)] = None if pay is None else pay <= wanted.ctc_at_most
    if wanted.ctc_at_least is not None:
        least = None if pay is None else pay >= wanted.ctc_at_least
        tests[_pay_field(wanted.pay)] = all_of([tests.get(_pay_field(wanted.pay), True), least])
    return all_of(tests.values()), [name for name, result in tests.items() if result is None]


def drive(condition: grammar.Drive, situation: Situation) -> Outcome:
    tests = drive_tests(condition.drive, situation.drive, situation)
    names = [name for name in DriveFilter.key_names() if name in tests]
    values = condition.drive.model_dump(mode="json", by_alias=True, exclude_none=True)
    required = "; ".join(f"{name} {_listed(values[name])}" for name in names)
    actual = {**situation.drive.model_dump(mode="json", by_alias=True), "level": situation.level(situation.drive)}
    fields = {name: actual["joining" if name == "joins_from" else name] for name in names}
    yours = "; ".join(f"{name} {'not on record' if value is None else value}" for name, value in fields.items())
    missing = tuple(f"drive.{name}" for name, result in tests.items() if result is None)
    return Outcome(all_of(tests.values()), required, yours, missing)


def drive_tests(wanted: DriveFilter, drive: DriveFacts, situation: Situation) -> dict[str, Tri]:
    """Return the result of each key of the filter ``wanted``."""
    tests = _shared_tests(wanted, drive, situation)
    tests["day"] = wanted.day is None or (None if drive.day is None else drive.day in wanted.day)
    tests["company"] = wanted.company is None or (
        None if drive.company is None else any(same_text(drive.company, name) for name in wanted.company)
    )
    return {
        name: result for name, result in tests.items() if name in wanted.model_dump(by_alias=True, exclude_none=True)
    }


def _shared_tests(wanted: OfferFilter | DriveFilter, item: Classified, situation: Situation) -> dict[str, Tri]:
    def one_of(values: list[str] | None, actual: str | None) -> Tri:
        return True if values is None else None if actual is None else actual in values

    return {
        "level": one_of(wanted.level, situation.level(item) if wanted.level else None),
        "category": one_of(wanted.category, item.category),
        "type": wanted.type is None or item.type in wanted.type,
        "class": True if wanted.class_ is None else None if item.class_ is None else item.class_ in wanted.class_,
        "joins_from": _joins(wanted.joins_from, item.joining),
    }


def _joins(earliest: date | None, joining: date | None) -> Tri:
    if earliest is None:
        return True
    return None if joining is None else joining >= earliest


def _with_none_held(holds: bool, required: str, situation: Situation) -> Outcome:
    if situation.offers_known:
        return Outcome(holds, required, "no offer that counts")
    return Outcome(None, required, "not on record", ("student.offers",))


def missing_level(place: str, item: Classified, situation: Situation) -> str:
    """Return the missing fact that would determine the level of ``item``."""
    by_pay = any(level.to_ctc is not None for level in situation.policy.levels)
    lacks_pay = item.level is None and by_pay and pay_of(item, situation.policy.level_pay) is None
    return f"{place}.{_pay_field(situation.policy.level_pay)}" if lacks_pay else f"{place}.level"


def _unlevelled(offers: list[OfferFacts], situation: Situation) -> list[str]:
    return [missing_level(f"offers[{each.id}]", each, situation) for each in offers if situation.level(each) is None]


def _level_shown(item: Classified, situation: Situation) -> str:
    return situation.level(item) or "level not on record"


def _pay_field(pay: Pay) -> str:
    return "ctc" if pay is Pay.TOTAL else "fixed"


def _listed(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)
