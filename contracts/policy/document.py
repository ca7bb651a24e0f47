"""A policy document as a whole."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from contracts.policy.conditions import ApplicationBlock
from contracts.policy.grammar import Conditions
from contracts.policy.values import (
    ApplicationState,
    Count,
    CountOrZero,
    Day,
    Name,
    OfferState,
    OfferType,
    OneOrList,
    Pay,
    PolicyModel,
    Rupees,
    Several,
    Source,
    Text,
)


class Level(PolicyModel):
    """A level. ``to_ctc``: its upper limit of pay. ``assigned``: not set by pay; staff assign it with a reason."""

    id: Name
    to_ctc: Rupees | None = None
    assigned: StrictBool = False


class Counts(PolicyModel):
    """The states in which an offer counts, for each source. An empty list: offers of that source never count."""

    CAMPUS: list[OfferState]
    PPO: list[OfferState]
    OFF_CAMPUS: list[OfferState]

    def of(self, source: Source) -> list[OfferState]:
        states: list[OfferState] = getattr(self, source.value)
        return states


class Hold(PolicyModel):
    """How many accepted offers a student may hold. ``beyond`` this: refuse, or let the student choose which to keep."""

    when: Conditions | None = None
    total: CountOrZero | None = None
    per_level: CountOrZero | dict[Name, CountOrZero] | None = None
    per_category: CountOrZero | dict[Name, CountOrZero] | None = None
    beyond: Literal["refuse", "choose"]

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.total is None and self.per_level is None and self.per_category is None:
            raise PydanticCustomError("limit", "must have total, per_level or per_category")
        return self


class Deny(PolicyModel):
    when: Conditions
    message: Text


Withdraw = Literal["disallowed", "lower", "all", "none"]


class OnAnnounce(PolicyModel):
    withdraw: Withdraw = "none"


class OnAccept(PolicyModel):
    withdraw: Withdraw = "none"
    forfeit_held: Literal["lower", "all", "none"] = "none"
    keep: Literal["same_day", "same_session", "none"] = "none"


class DecisionTime(PolicyModel):
    """How long a student may decide. ``not_before``: the decision is never due before the end of that day."""

    hours: Count | None = None
    days: Count | None = None
    from_: Literal["announcement", "opening"] = Field(default="announcement", alias="from")
    not_before: Day | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.hours is None) == (self.days is None):
            raise PydanticCustomError("one_of", "must have exactly one of the keys hours, days")
        return self


class DecideIn(PolicyModel):
    CAMPUS: DecisionTime | None = None
    PPO: DecisionTime | None = None
    OFF_CAMPUS: DecisionTime | None = None
    silence: Literal["decline", "expire", "accept"]

    def of(self, source: Source) -> DecisionTime | None:
        time: DecisionTime | None = getattr(self, source.value)
        return time


class Cap(PolicyModel):
    """A limit on applications, in one phase or in the whole season."""

    when: Conditions | None = None
    phase: Annotated[str | int, Field(union_mode="left_to_right")] | None = None
    applications: CountOrZero
    of: ApplicationBlock = ApplicationBlock()
    refund: list[ApplicationState] | None = None

    @property
    def given_back(self) -> list[ApplicationState]:
        return self.refund if self.refund is not None else self.of.refund or []


class NextDrives(PolicyModel):
    next_drives: Count


class CategoryScope(PolicyModel):
    category: Name


class LevelScope(PolicyModel):
    level: Name


class DaysLater(PolicyModel):
    days: Count


class Notice(PolicyModel):
    """A withdrawal is late if it comes less than ``hours`` before the drive begins."""

    hours: Count


class Penalty(PolicyModel):
    """A penalty begins at strike number ``times`` and at each later one."""

    on: Several[Literal["absent", "late_withdrawal", "reneged", "misconduct"]]
    times: Count = 1
    consecutive: StrictBool = False
    notice: Notice | None = None
    scope: Literal["season", "category", "level", "company"] | NextDrives | CategoryScope | LevelScope
    until: Literal["season_end"] | DaysLater | Day | None = None

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.until is None and not isinstance(self.scope, NextDrives):
            raise PydanticCustomError("until", "must have until: season_end, {{days: 30}} or a date")
        return self


class Cohort(PolicyModel):
    """Students with equal values of ``same``. ``counts``: the offer states in which a student counts as placed."""

    same: Annotated[list[Name], Field(min_length=1, max_length=10)]
    of: Literal["registered", "eligible", "all"]
    counts: Annotated[list[OfferState], Field(min_length=1)]


def _list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Policy(PolicyModel):
    """Who may apply and accept in a season. docs/policy.md explains each key."""

    title: Text | None = None
    levels: Annotated[list[Level], Field(max_length=50)] = Field(default=[])
    level_pay: Pay = Pay.TOTAL
    categories: Annotated[list[Name], Field(max_length=100)] = Field(default=[])
    tracks: dict[Name, Annotated[list[OfferType], Field(min_length=1)]] = Field(default={})
    counts: Counts
    hold: Annotated[list[Hold], BeforeValidator(_list), Field(max_length=50), OneOrList()] = Field(default=[])
    after_offer: Literal["open", "closed", "rules"]
    allow: Annotated[list[Conditions], Field(max_length=100)] = Field(default=[])
    deny: Annotated[list[Deny], Field(max_length=100)] = Field(default=[])
    on_announce: OnAnnounce = OnAnnounce()
    on_accept: OnAccept = OnAccept()
    decide_in: DecideIn
    caps: Annotated[list[Cap], Field(max_length=100)] = Field(default=[])
    penalties: Annotated[list[Penalty], Field(max_length=50)] = Field(default=[])
    cohorts: dict[Name, Cohort] = Field(default={})

    def level_ids(self) -> list[str]:
        """Return the names of the levels, from the lowest to the highest."""
        return [level.id for level in self.levels]

    def track_of(self, offer_type: OfferType) -> str | None:
        """Return the track of ``offer_type``; ``None`` if the document has no tracks."""
        return next((name for name, types in self.tracks.items() if offer_type in types), None)
