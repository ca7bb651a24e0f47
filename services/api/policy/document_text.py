"""Explain a whole policy in plain language, with one line for each rule, in the order of the document."""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.policy.document import (
    Cap,
    CategoryScope,
    DaysLater,
    DecisionTime,
    Hold,
    LevelScope,
    NextDrives,
    Penalty,
    Policy,
)
from contracts.policy.values import OfferState, Source
from services.api.policy.money import rupees
from services.api.policy.wording import block_text, conditions_text, listed, plural

SOURCES = {Source.CAMPUS: "A campus offer", Source.PPO: "A pre-placement offer", Source.OFF_CAMPUS: "An off-campus job"}
AFTER_OFFER = {
    "open": "A student with an offer that counts may apply to every drive.",
    "closed": "A student with an offer that counts may not apply any more.",
    "rules": "A student with an offer that counts may apply only where a rule below allows it.",
}
WITHDRAW = {
    "disallowed": "withdraws the running applications that these rules no longer permit",
    "lower": "withdraws the running applications to drives of a lower level",
    "all": "withdraws all running applications",
    "none": "withdraws no application",
}
FORFEIT = {
    "lower": "gives up accepted offers of a lower level",
    "all": "gives up every other accepted offer",
    "none": "gives up no other offer",
}
KEEP = {"same_day": "drives on the same day", "same_session": "drives in the same session"}
SILENCE = {
    "decline": "declines the offer",
    "expire": "lets the offer expire, which is not the same as declining it",
    "accept": "accepts the offer",
}


@dataclass(frozen=True, slots=True)
class Line:
    """``rule``: the place in the document that ``text`` explains."""

    rule: str
    text: str


def policy_text(policy: Policy) -> list[Line]:
    """Return every rule of ``policy`` in plain language."""
    return [
        *_classification(policy),
        *_counts(policy),
        *_after_offer(policy),
        *(Line(f"hold[{number}]", _hold(hold)) for number, hold in enumerate(policy.hold)),
        Line("on_announce", f"Announcing an offer {WITHDRAW[policy.on_announce.withdraw]}."),
        Line("on_accept", _on_accept(policy)),
        *_decisions(policy),
        *(Line(f"caps[{number}]", _cap(cap)) for number, cap in enumerate(policy.caps)),
        *(Line(f"penalties[{number}]", _penalty(rule)) for number, rule in enumerate(policy.penalties)),
        *_cohorts(policy),
    ]


def _classification(policy: Policy) -> Iterator[Line]:
    lowest: int | None = None
    for number, level in enumerate(policy.levels):
        if level.assigned or (level.to_ctc is None and lowest is None):
            text = "staff assign it"
        elif level.to_ctc is None:
            text = f"{policy.level_pay} pay above {rupees(lowest)} a year"
        else:
            above = "" if lowest is None else f" above {rupees(lowest)} and"
            text = f"{policy.level_pay} pay{above} up to {rupees(level.to_ctc)} a year"
            lowest = level.to_ctc
        yield Line(f"levels[{number}]", f"Level {number + 1}, {level.id}: {text}.")
    if policy.categories:
        yield Line("categories", f"Categories: {listed(policy.categories, 'and')}.")
    for name, types in policy.tracks.items():
        yield Line(f"tracks.{name}", f"Offers of type {listed(types)} are judged apart, as the track {name}.")


def _counts(policy: Policy) -> Iterator[Line]:
    for source, name in SOURCES.items():
        states: list[OfferState] = policy.counts.of(source)
        clause = f"counts while it is {listed([state.value for state in states])}" if states else "never counts"
        yield Line(f"counts.{source}", f"{name} {clause}.")


def _after_offer(policy: Policy) -> Iterator[Line]:
    yield Line("after_offer", AFTER_OFFER[policy.after_offer])
    for number, conditions in enumerate(policy.allow):
        yield Line(f"allow[{number}]", f"They may apply when {conditions_text(conditions)}.")
    for number, rule in enumerate(policy.deny):
        text = f'A student may not apply when {conditions_text(rule.when)}. They read: "{rule.message}"'
        yield Line(f"deny[{number}]", text)


def _hold(hold: Hold) -> str:
    parts = [f"{plural(hold.total, 'accepted offer')} in total"] if hold.total is not None else []
    for limits, group in ((hold.per_level, "level"), (hold.per_category, "category")):
        if isinstance(limits, int):
            parts.append(f"{limits} in each {group}")
        elif limits is not None:
            parts += [f"{limit} of {group} {name}" for name, limit in limits.items()]
    beyond = (
        "a further one cannot be accepted"
        if hold.beyond == "refuse"
        else "for a further one they choose what to give up"
    )
    when = f"When {conditions_text(hold.when)}, a student" if hold.when else "A student"
    return f"{when} may hold {listed(parts, 'and')}; {beyond}."


def _on_accept(policy: Policy) -> str:
    rule = policy.on_accept
    keep = f", except for {KEEP[rule.keep]}" if rule.keep in KEEP else ""
    return f"Accepting an offer {WITHDRAW[rule.withdraw]}{keep}, and {FORFEIT[rule.forfeit_held]}."


def _decisions(policy: Policy) -> Iterator[Line]:
    for source, name in SOURCES.items():
        time = policy.decide_in.of(source)
        if time is not None:
            yield Line(f"decide_in.{source}", f"{name} is to be decided within {_time(time)}.")
    yield Line("decide_in.silence", f"Silence at the deadline {SILENCE[policy.decide_in.silence]}.")


def _time(time: DecisionTime) -> str:
    length = plural(time.hours, "hour") if time.hours is not None else plural(time.days or 0, "day")
    begin = "its announcement" if time.from_ == "announcement" else "its opening"
    least = f", and not before the end of {time.not_before}" if time.not_before else ""
    return f"{length} of {begin}{least}"


def _cap(cap: Cap) -> str:
    phase = f" in phase {cap.phase}" if cap.phase is not None else ""
    back = [state.value.replace("_", " ") for state in cap.given_back]
    refund = f"{listed(back, 'and')} ones are given back" if back else "none is given back"
    when = f"When {conditions_text(cap.when)}, a" if cap.when else "A"
    block = block_text(cap.of.model_copy(update={"refund": None}))
    return f"{when} student may have {plural(cap.applications, 'application')}{block}{phase}; {refund}."


def _penalty(rule: Penalty) -> str:
    acts = listed([each.replace("_", " ") for each in rule.on])
    row = " in a row" if rule.consecutive else ""
    notice = (
        f" (a withdrawal less than {plural(rule.notice.hours, 'hour')} before the drive is late)" if rule.notice else ""
    )
    match rule.scope:
        case NextDrives(next_drives=drives):
            scope = f"for the next {plural(drives, 'drive')}"
        case CategoryScope(category=name):
            scope = f"for drives of category {name}"
        case LevelScope(level=name):
            scope = f"for drives of level {name}"
        case "season":
            scope = "for all drives"
        case _:
            scope = f"for drives of the same {rule.scope}"
    match rule.until:
        case None:
            until = ""
        case "season_end":
            until = ", until the end of the season"
        case DaysLater(days=days):
            until = f", for {plural(days, 'day')}"
        case day:
            until = f", until {day}"
    return f"{acts.capitalize()} {plural(rule.times, 'time')}{row}{notice} brings a penalty {scope}{until}."


def _cohorts(policy: Policy) -> Iterator[Line]:
    for name, cohort in policy.cohorts.items():
        same = listed([field.replace("_", " ") for field in cohort.same], "and")
        states = listed([state.value for state in cohort.counts])
        text = f"{name}: {cohort.of} students of the same {same}. One is placed while an offer is {states}."
        yield Line(f"cohorts.{name}", text)
