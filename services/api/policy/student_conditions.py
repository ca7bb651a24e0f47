"""Conditions on the student's attributes, on cohorts and on time."""

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


def student_in(condition: grammar.StudentIn, seen: Situation) -> Outcome:
    """An attribute with several values matches when one of them is listed."""
    field, values = condition.student_in.field, condition.student_in.values
    required = f"{field}: {' or '.join(map(str, values))}"
    actual = seen.student.attributes.get(field)
    if actual is None:
        return Outcome(None, required, "not on record", (f"student.{field}",))
    several = actual if isinstance(actual, list) else [actual]
    holds = any(same_value(one, value) for one in several for value in values)
    return Outcome(holds, required, ", ".join(map(str, several)))


def student_number(condition: grammar.StudentNumber, seen: Situation) -> Outcome:
    wanted = condition.student_number
    bounds = [f"at least {exact(wanted.at_least)}"] if wanted.at_least is not None else []
    bounds += [f"at most {exact(wanted.at_most)}"] if wanted.at_most is not None else []
    required = f"{wanted.field}: {' and '.join(bounds)}"
    number = _number(seen.student.attributes.get(wanted.field))
    if number is None:
        return Outcome(None, required, "not on record", (f"student.{wanted.field}",))
    enough = wanted.at_least is None or number >= wanted.at_least
    return Outcome(enough and (wanted.at_most is None or number <= wanted.at_most), required, exact(number))


def _number(value: Attribute) -> Decimal | int | None:
    """Return ``value`` as a number; text and lists are no number, and count as not on record."""
    return value if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def cohort_placed_at_least(condition: grammar.CohortPlacedAtLeast, seen: Situation) -> Outcome:
    """Compare exactly: placed * 100 with percent * size. An empty cohort has no share."""
    name, percent = condition.cohort_placed_at_least.cohort, condition.cohort_placed_at_least.percent
    required = f"at least {exact(percent)} % of {name} placed"
    cohort = seen.student.cohorts.get(name)
    if cohort is None or cohort.of == 0:
        return Outcome(None, required, "not on record", (f"cohort {name}",))
    shown = "few" if cohort.of < SMALLEST_SHOWN else f"{cohort.placed} of {cohort.of}"
    return Outcome(cohort.placed * 100 >= percent * cohort.of, required, shown)


def within(condition: grammar.Within, seen: Situation) -> Outcome:
    """Days are the campus's. Where there is no such event, such as no offer, the condition does not hold."""
    window = condition.within
    happened, moment = _event(window, seen)
    required = f"{window.of}: {_window_shown(window)}"
    if happened is False:
        return Outcome(False, required, "no such event")
    if moment is None:
        return Outcome(None, required, "not on record", (_fact(window.of),))
    day = moment if not isinstance(moment, datetime) else seen.season.day_of(moment)
    if window.from_ is not None or window.to is not None:
        early = window.from_ is not None and day < window.from_
        late = window.to is not None and day > window.to
        return Outcome(not early and not late, required, str(day))
    if window.days is not None and not isinstance(moment, datetime):
        return Outcome(abs(day - seen.season.day_of(seen.now)).days <= window.days, required, str(day))
    length = timedelta(days=window.days or 0, hours=window.hours or 0)
    start = (
        moment if isinstance(moment, datetime) else datetime.combine(moment, datetime.min.time(), seen.season.timezone)
    )
    return Outcome(abs(seen.now - start) <= length, required, f"{start:%Y-%m-%d %H:%M}")


def _event(window: Window, seen: Situation) -> tuple[Tri, datetime | date | None]:
    match window.of:
        case "now":
            return True, seen.now
        case "drive_opened":
            return True, seen.drive.opened_at
        case "joining":
            return True, seen.drive.joining
        case "offer_announced":
            return seen.latest([offer.announced_at for offer in seen.counting])
        case "offer_accepted":
            accepted = [offer for offer in seen.counting if offer.state is OfferState.ACCEPTED]
            return seen.latest([offer.accepted_at for offer in accepted])


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
