"""Penalties: those that the policy derives from a student's conduct, and those that staff imposed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from contracts.policy.conditions import PenaltyActive
from contracts.policy.document import CategoryScope, DaysLater, LevelScope, NextDrives, Penalty
from services.api.policy.facts import ConductFacts, SeasonFacts
from services.api.policy.outcome import Outcome, Tri, any_of
from services.api.policy.situation import Situation
from services.api.policy.text_values import same_text


@dataclass(frozen=True, slots=True)
class Imposed:
    """A penalty that began. ``until`` ``None``: the end of the season; ``drives``: it covers so many next drives."""

    scope: str
    value: str | None
    since: datetime
    until: datetime | None
    drives: int | None = None


def penalty_active(condition: PenaltyActive, seen: Situation) -> Outcome:
    """Return whether a penalty of this scope is in force now and covers the drive."""
    wanted = condition.penalty_active
    found = [one for one in imposed(seen) if wanted in ("any", one.scope)]
    results = [in_force(one, seen) for one in found]
    required = "a penalty in force" if wanted == "any" else f"a penalty in force (scope {wanted})"
    if seen.student.conduct is None and seen.policy.penalties:
        results.append(None)
    holds = any_of(results)
    if holds is not None:
        active = [one for one, result in zip(found, results, strict=False) if result]
        return Outcome(holds, required, _shown(active[0], seen) if active else "none")
    missing = [_missing(one) for one, result in zip(found, results, strict=False) if result is None]
    lacks_conduct = seen.student.conduct is None and bool(seen.policy.penalties)
    return Outcome(None, required, "not on record", (*missing, *(["student.conduct"] if lacks_conduct else [])))


def active_until(seen: Situation) -> str | None:
    """Return when the last of the penalties that cover this drive ends, as it is shown."""
    active = [one for one in imposed(seen) if in_force(one, seen)]
    if not active:
        return None
    return max((_end_shown(one, seen) for one in active), key=lambda end: (end == "the end of the season", end))


def imposed(seen: Situation) -> list[Imposed]:
    """Return every penalty that has begun, from the policy's rules and from staff; lifted ones are left out."""
    derived = [one for rule in seen.policy.penalties for one in _derived(rule, seen)]
    recorded = [
        Imposed(one.scope, one.value, one.since, one.until, one.drives or (1 if one.scope == "next_drives" else None))
        for one in seen.student.penalties
        if not one.lifted and one.since <= seen.now
    ]
    return [*derived, *recorded]


def latest_penalty(seen: Situation) -> tuple[Tri, datetime | None]:
    """Return whether a penalty has begun, and the latest moment; ``(None, None)`` when conduct is not on record."""
    moments = [one.since for one in imposed(seen)]
    if not moments and seen.student.conduct is None and seen.policy.penalties:
        return None, None
    return bool(moments), max(moments, default=None)


def strikes(rule: Penalty, conduct: list[ConductFacts], now: datetime) -> Iterator[ConductFacts]:
    """Yield each act at which ``rule`` begins to apply: strike number ``times``, and each later one.

    With ``consecutive`` a presence in between begins the count anew. The count is over the whole season, so that a
    policy can be amended midway.
    """
    count = 0
    for act in sorted(conduct, key=lambda each: each.at):
        if act.at > now:
            break
        if _is_strike(rule, act):
            count += 1
            if count >= rule.times:
                yield act
        elif rule.consecutive and act.kind == "present":
            count = 0


def _is_strike(rule: Penalty, act: ConductFacts) -> bool:
    if act.excused:
        return False
    if act.kind in rule.on:
        return True
    if act.kind != "withdrawn" or "late_withdrawal" not in rule.on or rule.notice is None or act.drive_at is None:
        return False
    return act.drive_at - act.at < timedelta(hours=rule.notice.hours)


def _derived(rule: Penalty, seen: Situation) -> Iterator[Imposed]:
    for act in strikes(rule, seen.student.conduct or [], seen.now):
        until = _end(rule, act, seen.season)
        match rule.scope:
            case NextDrives(next_drives=drives):
                yield Imposed("next_drives", None, act.at, until, drives)
            case CategoryScope(category=category):
                yield Imposed("category", category, act.at, until)
            case LevelScope(level=level):
                yield Imposed("level", level, act.at, until)
            case str() as scope:
                value = None if scope == "season" else getattr(act, scope)
                yield Imposed(scope, value, act.at, until)


def _end(rule: Penalty, act: ConductFacts, season: SeasonFacts) -> datetime | None:
    match rule.until:
        case DaysLater(days=days):
            return act.at + timedelta(days=days)
        case date() as day:
            return end_of(day, season)
        case _:
            return end_of(season.end, season) if season.end else None


def end_of(day: date, season: SeasonFacts) -> datetime:
    """Return the first moment after ``day`` on the campus."""
    return datetime.combine(day + timedelta(days=1), time.min, season.timezone)


def in_force(one: Imposed, seen: Situation) -> Tri:
    """Return whether ``one`` is in force now and covers the drive."""
    if one.until is not None and seen.now >= one.until:
        return False
    drive = seen.drive
    match one.scope:
        case "season":
            return True
        case "next_drives":
            return _is_next(one, seen)
        case "level":
            return _covers(one.value, seen.level(drive))
        case "category":
            return _covers(one.value, drive.category)
        case _:
            return _covers(one.value, drive.company)


def _covers(value: str | None, actual: str | None) -> Tri:
    return None if value is None or actual is None else same_text(value, actual)


def _is_next(one: Imposed, seen: Situation) -> Tri:
    """Return whether the drive is among the next ``one.drives`` that opened after the penalty began."""
    opened, others = seen.drive.opened_at, seen.season.drives_opened
    if opened is None:
        return None
    if opened <= one.since:
        return False
    if others is None:
        return None
    before = sum(one.since < moment < opened for moment in others)
    return before < (one.drives or 1)


def _missing(one: Imposed) -> str:
    if one.scope == "next_drives":
        return "drive.opened_at and season.drives_opened"
    return f"drive.{one.scope}"


def _shown(one: Imposed, seen: Situation) -> str:
    scope = one.scope if one.value is None else f"{one.scope} {one.value}"
    return f"penalty ({scope}) until {_end_shown(one, seen)}"


def _end_shown(one: Imposed, seen: Situation) -> str:
    if one.until is None:
        return f"{one.drives} drives later" if one.drives else "the end of the season"
    return f"{one.until.astimezone(seen.season.timezone):%Y-%m-%d %H:%M}"
