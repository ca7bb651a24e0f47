"""Find the penalties of a student: from the policy's rules on conduct, and imposed by staff."""

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
    """A penalty that has begun. ``until``: ``None`` for the end of the season.

    ``drives``: how many of the next drives it covers.
    """

    scope: str
    value: str | None
    since: datetime
    until: datetime | None
    drives: int | None = None


def penalty_active(condition: PenaltyActive, situation: Situation) -> Outcome:
    """Return whether a penalty of this scope is in force now and covers the drive."""
    wanted = condition.penalty_active
    penalties = [penalty for penalty in imposed(situation) if wanted in ("any", penalty.scope)]
    results = [in_force(penalty, situation) for penalty in penalties]
    required = "a penalty in force" if wanted == "any" else f"a penalty in force (scope {wanted})"
    if situation.student.conduct is None and situation.policy.penalties:
        results.append(None)
    holds = any_of(results)
    if holds is not None:
        active = [penalty for penalty, result in zip(penalties, results, strict=False) if result]
        return Outcome(holds, required, _shown(active[0], situation) if active else "none")
    missing = [_missing(penalty) for penalty, result in zip(penalties, results, strict=False) if result is None]
    lacks_conduct = situation.student.conduct is None and bool(situation.policy.penalties)
    return Outcome(None, required, "not on record", (*missing, *(["student.conduct"] if lacks_conduct else [])))


def active_until(situation: Situation) -> str | None:
    """Return the end of the last penalty on this drive, as text; ``None`` without a penalty in force."""
    active = [penalty for penalty in imposed(situation) if in_force(penalty, situation)]
    if not active:
        return None
    return max(
        (_end_shown(penalty, situation) for penalty in active), key=lambda end: (end == "the end of the season", end)
    )


def imposed(situation: Situation) -> list[Imposed]:
    """Return every penalty that has begun, from the policy's rules and from staff, without lifted penalties."""
    derived = [penalty for rule in situation.policy.penalties for penalty in _derived(rule, situation)]
    recorded = [
        Imposed(
            penalty.scope,
            penalty.value,
            penalty.since,
            penalty.until,
            penalty.drives or (1 if penalty.scope == "next_drives" else None),
        )
        for penalty in situation.student.penalties
        if not penalty.lifted and penalty.since <= situation.now
    ]
    return [*derived, *recorded]


def latest_penalty(situation: Situation) -> tuple[Tri, datetime | None]:
    """Return whether a penalty has begun, and when the latest began; ``(None, None)`` without conduct on record."""
    moments = [penalty.since for penalty in imposed(situation)]
    if not moments and situation.student.conduct is None and situation.policy.penalties:
        return None, None
    return bool(moments), max(moments, default=None)


def strikes(rule: Penalty, conduct: list[ConductFacts], now: datetime) -> Iterator[ConductFacts]:
    """Yield each act that brings a penalty by ``rule``: strike number ``times``, and each later strike.

    With ``consecutive``, a presence resets the count. The count covers the whole season, so that a policy can be
    amended during the season.
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


def _derived(rule: Penalty, situation: Situation) -> Iterator[Imposed]:
    for act in strikes(rule, situation.student.conduct or [], situation.now):
        until = _end(rule, act, situation.season)
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


def in_force(penalty: Imposed, situation: Situation) -> Tri:
    """Return whether the penalty is in force now and covers the drive."""
    if penalty.until is not None and situation.now >= penalty.until:
        return False
    drive = situation.drive
    match penalty.scope:
        case "season":
            return True
        case "next_drives":
            return _is_next(penalty, situation)
        case "level":
            return _covers(penalty.value, situation.level(drive))
        case "category":
            return _covers(penalty.value, drive.category)
        case _:
            return _covers(penalty.value, drive.company)


def _covers(value: str | None, actual: str | None) -> Tri:
    return None if value is None or actual is None else same_text(value, actual)


def _is_next(penalty: Imposed, situation: Situation) -> Tri:
    """Return whether the drive is among the next ``penalty.drives`` that opened after the penalty began."""
    opened, others = situation.drive.opened_at, situation.season.drives_opened
    if opened is None:
        return None
    if opened <= penalty.since:
        return False
    if others is None:
        return None
    before = sum(penalty.since < moment < opened for moment in others)
    return before < (penalty.drives or 1)


def _missing(penalty: Imposed) -> str:
    if penalty.scope == "next_drives":
        return "drive.opened_at and season.drives_opened"
    return f"drive.{penalty.scope}"


def _shown(penalty: Imposed, situation: Situation) -> str:
    scope = penalty.scope if penalty.value is None else f"{penalty.scope} {penalty.value}"
    return f"penalty ({scope}) until {_end_shown(penalty, situation)}"


def _end_shown(penalty: Imposed, situation: Situation) -> str:
    if penalty.until is None:
        return f"{penalty.drives} drives later" if penalty.drives else "the end of the season"
    return f"{penalty.until.astimezone(situation.season.timezone):%Y-%m-%d %H:%M}"
