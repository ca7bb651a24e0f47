"""The conditions of a policy. Each is a mapping with the condition's name as its first key."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.policy.values import (
    Against,
    ApplicationState,
    Count,
    CountOrZero,
    Day,
    DriveClass,
    Exact,
    Name,
    OfferState,
    OfferType,
    Pay,
    Percent,
    PolicyModel,
    Ratio,
    Rupees,
    Several,
    Source,
    Text,
)


class OfferBlock(PolicyModel):
    """Which offers are counted. The value ``drive`` of ``level`` or ``category`` stands for that of the drive."""

    level: Several[Name] | None = None
    category: Several[Name] | None = None
    states: Several[OfferState] | None = None
    refund: list[OfferState] | None = None


class ApplicationBlock(PolicyModel):
    """Which applications are counted. ``refund``: states in which an application does not use up the limit."""

    level: Several[Name] | None = None
    category: Several[Name] | None = None
    states: Several[ApplicationState] | None = None
    refund: list[ApplicationState] | None = None


class LevelComparison(PolicyModel):
    """``of``: best_held, every_held, any_held or a level. ``at_most``: a number of levels, or the highest level."""

    of: Name = Against.BEST.value
    at_most: Count | Name | None = None


class LevelAbove(PolicyModel):
    level_above: LevelComparison


class SameLevelComparison(PolicyModel):
    of: Literal["best_held", "every_held", "any_held"] = "any_held"


class SameLevel(PolicyModel):
    same_level: SameLevelComparison


class CategoryIn(PolicyModel):
    category_in: Several[Name]


class CtcRatioAtLeast(PolicyModel):
    ctc_ratio_at_least: Ratio
    to: Against = Against.BEST
    pay: Pay = Pay.TOTAL


class CtcDeltaAtLeast(PolicyModel):
    ctc_delta_at_least: Rupees
    to: Against = Against.BEST
    pay: Pay = Pay.TOTAL


class CtcAtLeast(PolicyModel):
    ctc_at_least: Rupees
    pay: Pay = Pay.TOTAL


class OfferFilter(PolicyModel):
    """The properties that an offer must have. All keys must match; an empty filter matches every offer."""

    level: Several[Name] | None = None
    category: Several[Name] | None = None
    type: Several[OfferType] | None = None
    source: Several[Source] | None = None
    class_: Several[DriveClass] | None = Field(default=None, alias="class")
    ctc_at_most: Rupees | None = None
    ctc_at_least: Rupees | None = None
    pay: Pay = Pay.TOTAL
    joins_from: Day | None = None
    states: Several[OfferState] | None = None


class HeldOffers(PolicyModel):
    """``any``: at least one offer that counts matches. ``every``: at least one offer counts, and all of these match."""

    any: OfferFilter | None = None
    every: OfferFilter | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.any is None) == (self.every is None):
            raise PydanticCustomError("one_of", "must have exactly one of the keys any, every")
        return self


class Held(PolicyModel):
    held: HeldOffers


class DriveFilter(PolicyModel):
    """The properties that the drive must have. All keys must match."""

    level: Several[Name] | None = None
    type: Several[OfferType] | None = None
    class_: Several[DriveClass] | None = Field(default=None, alias="class")
    category: Several[Name] | None = None
    joins_from: Day | None = None
    day: Several[Day] | None = None
    company: Several[Text] | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError(
                "empty", "must have at least one of {allowed}", {"allowed": ", ".join(self.key_names())}
            )
        return self


class Drive(PolicyModel):
    drive: DriveFilter


class OffersTotalBelow(PolicyModel):
    offers_total_below: Count
    of: OfferBlock = OfferBlock()


class OffersInBelow(PolicyModel):
    offers_in_below: Count
    of: OfferBlock

    @model_validator(mode="after")
    def _names_a_group(self) -> Self:
        if self.of.level is None and self.of.category is None:
            raise PydanticCustomError("group", "of must have level or category: a name, or drive for the drive's own")
        return self


class UpgradesUsedBelow(PolicyModel):
    upgrades_used_below: Count


class DreamChoiceLeft(PolicyModel):
    dream_choice_left: Literal[True]


class ApplicationsSinceBelow(PolicyModel):
    applications_since_below: Count
    since: Literal[
        "offer_announced",
        "offer_accepted",
        "first_offer_announced",
        "first_offer_accepted",
        "penalty",
        "season_start",
    ]
    of: ApplicationBlock = ApplicationBlock()


class ShortlistsBelow(PolicyModel):
    shortlists_below: Count
    of: ApplicationBlock = ApplicationBlock()


class CohortShare(PolicyModel):
    cohort: Name
    percent: Percent


class CohortPlacedAtLeast(PolicyModel):
    cohort_placed_at_least: CohortShare


class PenaltyActive(PolicyModel):
    penalty_active: Literal["any", "season", "category", "level", "company", "next_drives"]


class StudentAttributeIn(PolicyModel):
    field: Name
    values: Several[Text | int | bool]


class StudentIn(PolicyModel):
    student_in: StudentAttributeIn


class StudentAttributeRange(PolicyModel):
    field: Name
    at_least: Exact | None = None
    at_most: Exact | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise PydanticCustomError("bound", "must have at_least, at_most or both")
        return self


class StudentNumber(PolicyModel):
    student_number: StudentAttributeRange


class Window(PolicyModel):
    """From ``from`` to ``to``, both days included, or at most ``days`` or ``hours`` away from now."""

    of: Literal["now", "drive_opened", "offer_announced", "offer_accepted", "joining"]
    from_: Day | None = Field(default=None, alias="from")
    to: Day | None = None
    days: CountOrZero | None = None
    hours: CountOrZero | None = None

    @model_validator(mode="after")
    def _one_kind_of_window(self) -> Self:
        dates, lengths = (self.from_, self.to), (self.days, self.hours)
        has_dates, has_length = (any(part is not None for part in parts) for parts in (dates, lengths))
        if has_dates == has_length or None not in lengths:
            raise PydanticCustomError("window", "must have from, to or both; or days; or hours")
        if self.of == "now" and has_length:
            raise PydanticCustomError("window", "of: now needs from, to or both; days and hours are measured from now")
        return self


class Within(PolicyModel):
    within: Window
