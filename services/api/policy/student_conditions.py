"""Evaluate conditions on the student's attributes, on cohorts and on time."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from contracts.policy import conditions as grammar
from contracts.policy.conditions import Window
from contracts.policy.values import OfferState
from services.api.policy.facts import Attribute
from services.api.policy.money import exact
from services.api.policy.outcome import Outcome, Tri
from services.api.policy.situation import Situation
from services.api.policy.text_values import same_value

# A cohort of fewer students is shown as "few", so that no single student can be inferred.
SMALLEST_SHOWN = 5


def student_in(condition: grammar.StudentIn, situation: Situation) -> Outcome:
    """Return whether the attribute has a listed value. An attribute with several values needs one listed value."""
    field, values = condition.student_in.field, condition.student_in.values
    required = f"{field}: {' or '.join(map(str, values))}"
    actual = situation.student.attributes.get(field)
    if actual is None:
        return Outcome(None, required, "not on record", (f"student.{field}",))
    actual_values = actual if isinstance(actual, list) else [actual]
    holds = any(same_value(actual_value, value) for actual_value in actual_values for value in values)
    return Outcome(holds, required, ", ".join(map(str, actual_values)))


def student_number(condition: grammar.StudentNumber, situation: Situation) -> Outcome:
    wanted = condition.student_number
    bounds = [f"at least {exact(wanted.at_least)}"] if wanted.at_least is not None else []
    bounds += [f"at most {exact(wanted.at_most)}"] if wanted.at_most is not None else []
    required = f"{wanted.field}: {' and '.join(bounds)}"
    number = _number(situation.student.attributes.get(wanted.field))
    if number is None:
        return Outcome(None, required, "not on record", (f"student.{wanted.field}",))
    enough = wanted.at_least is None or number >= wanted.at_least
    return Outcome(enough and (wanted.at_most is None or number <= wanted.at_most), required, exact(number))


def _number(value: Attribute) -> Decimal | int | None:
    """Return ``value`` if it is a number. Text and lists count as not on record."""
    return value if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def cohort_placed_at_least(condition: grammar.CohortPlacedAtLeast, situation: Situation) -> Outcome:
    """Return whether enough of a cohort is placed, in exact arithmetic. For an empty cohort this is unknown."""
    name, percent = condition.cohort_placed_at_least.cohort, condition.cohort_placed_at_least.percent
    required = f"at least {exact(percent)} % of {name} placed"
    cohort = situation.student.cohorts.get(name)
    if cohort is None or cohort.of == 0:
        return Outcome(None, required, "not on record", (f"cohort {name}",))
    shown = "few" if cohort.of < SMALLEST_SHOWN else f"{cohort.placed} of {cohort.of}"
    return Outcome(cohort.placed * 100 >= percent * cohort.of, required, shown)


def within(condition: grammar.Within, situation: Situation) -> Outcome:
    """Return whether an event is within a window. Days are those of the campus. Without the event, return false."""
    window = condition.within
    happened, moment = _event(window, situation)
    required = f"{window.of}: {_window_shown(window)}"
    if happened is False:
        return Outcome(False, required, "no such event")
    if moment is None:
        return Outcome(None, required, "not on record", (_fact(window.of),))
    day = moment if not isinstance(moment, datetime) else situation.season.day_of(moment)
    if window.from_ is not None or window.to is not None:
        early = window.from_ is not None and day < window.from_
        late = window.to is not None and day > window.to
        return Outcome(not early and not late, required, str(day))
    if window.days is not None and not isinstance(moment, datetime):
        return Outcome(abs(day - situation.season.day_of(situation.now)).days <= window.days, required, str(day))
    length = timedelta(days=window.days or 0, hours=window.hours or 0)
    start = (
        moment
        if isinstance(moment, datetime)
        else datetime.combine(moment, datetime.min.time(), situation.season.timezone)
    )
    return Outcome(abs(situation.now - start) <= length, required, f"{start:%Y-%m-%d %H:%M}")


def _event(window: Window, situation: Situation) -> tuple[Tri, datetime | date | None]:
    match window.of:
        case "now":
            return True, situation.now
        case "drive_opened":
            return True, situation.drive.opened_at
        case "joining":
            return True, situation.drive.joining
        case "offer_announced":
            return situation.latest([offer.announced_at for offer in situation.counting])
        case "offer_accepted":
            accepted = [offer for offer in situation.counting if offer.state is OfferState.ACCEPTED]
            return situation.latest([offer.accepted_at for offer in accepted])


def _fact(of: str) -> str:
    facts = {"drive_opened": "drive.opened_at", "joining": "drive.joining"}
    return facts.get(of, f"moment of {of}")


def _window_shown(window: Window) -> str:
    if window.days is not None:
        return f"at most {window.days} days from now"
    if window.hours is not None:
        return f"at most {window.hours} hours from now"
    parts = [f"from {window.from_}"] if window.from_ else []
    return " ".join([*parts, *([f"to {window.to}"] if window.to else [])])
