"""The union type ``Condition``: every kind of condition that a policy document may contain."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from contracts.policy.conditions import (
    ApplicationsSinceBelow,
    CategoryIn,
    CohortPlacedAtLeast,
    CtcAtLeast,
    CtcDeltaAtLeast,
    CtcRatioAtLeast,
    DreamChoiceLeft,
    Drive,
    Held,
    LevelAbove,
    OffersInBelow,
    OffersTotalBelow,
    PenaltyActive,
    SameLevel,
    ShortlistsBelow,
    StudentIn,
    StudentNumber,
    UpgradesUsedBelow,
    Within,
)
from contracts.policy.values import OneOrList, PolicyModel

# Prefix of the union tag in the ``loc`` of a Pydantic error. Such a part names a condition and is no document key.
TAG = "condition:"
# Conditions that need no argument may be written as their name alone.
BARE: dict[str, Any] = {"same_level": {}, "level_above": {}, "dream_choice_left": True}
MAX_CONDITIONS = 30


class Not(PolicyModel):
    """True when not all of these conditions hold."""

    not_: Annotated[list["Condition"], Field(min_length=1, max_length=MAX_CONDITIONS), OneOrList()] = Field(alias="not")

    @model_validator(mode="before")
    @classmethod
    def _one_or_list(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("not"), dict | str | BaseModel):
            return {**value, "not": [value["not"]]}
        return value


def _mapping(value: Any) -> Any:
    """Return ``value`` as a mapping, also a bare name. Raise ``PydanticCustomError`` unless it is one condition."""
    if isinstance(value, PolicyModel):
        return value
    if isinstance(value, str) and value in BARE:
        return {value: BARE[value]}
    keys = [str(key) for key in value] if isinstance(value, dict) else []
    found = [key for key in keys if key in NAMED]
    if len(found) == 1:
        return value
    context: dict[str, Any] = {"unknown": keys, "found": found, "allowed": sorted(NAMED)}
    if found:
        raise PydanticCustomError("several_conditions", "holds several conditions", context)
    raise PydanticCustomError("no_condition", "must be a condition", context)


class _OrBareName:
    """States in the JSON Schema that some conditions may be written as their name alone."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"enum": sorted(BARE)}, handler(schema)]}


def name_of(value: Any) -> str:
    """Return the name of a condition, given as a parsed model or as the mapping from the document."""
    if isinstance(value, PolicyModel):
        return type(value).key_names()[0]
    return next(name for name in NAMED if name in value)


Condition = Annotated[
    Annotated[LevelAbove, Tag(TAG + "level_above")]
    | Annotated[SameLevel, Tag(TAG + "same_level")]
    | Annotated[CategoryIn, Tag(TAG + "category_in")]
    | Annotated[CtcRatioAtLeast, Tag(TAG + "ctc_ratio_at_least")]
    | Annotated[CtcDeltaAtLeast, Tag(TAG + "ctc_delta_at_least")]
    | Annotated[CtcAtLeast, Tag(TAG + "ctc_at_least")]
    | Annotated[Held, Tag(TAG + "held")]
    | Annotated[Drive, Tag(TAG + "drive")]
    | Annotated[OffersTotalBelow, Tag(TAG + "offers_total_below")]
    | Annotated[OffersInBelow, Tag(TAG + "offers_in_below")]
    | Annotated[UpgradesUsedBelow, Tag(TAG + "upgrades_used_below")]
    | Annotated[DreamChoiceLeft, Tag(TAG + "dream_choice_left")]
    | Annotated[ApplicationsSinceBelow, Tag(TAG + "applications_since_below")]
    | Annotated[ShortlistsBelow, Tag(TAG + "shortlists_below")]
    | Annotated[CohortPlacedAtLeast, Tag(TAG + "cohort_placed_at_least")]
    | Annotated[PenaltyActive, Tag(TAG + "penalty_active")]
    | Annotated[StudentIn, Tag(TAG + "student_in")]
    | Annotated[StudentNumber, Tag(TAG + "student_number")]
    | Annotated[Within, Tag(TAG + "within")]
    | Annotated[Not, Tag(TAG + "not")],
    Discriminator(lambda value: TAG + name_of(value)),
    BeforeValidator(_mapping),
    _OrBareName(),
]
# Conditions that must all hold.
Conditions = Annotated[list[Condition], Field(min_length=1, max_length=MAX_CONDITIONS)]

NAMED: dict[str, type[PolicyModel]] = {
    each.key_names()[0]: each
    for each in (
        LevelAbove, SameLevel, CategoryIn, CtcRatioAtLeast, CtcDeltaAtLeast, CtcAtLeast, Held,
        Drive, OffersTotalBelow, OffersInBelow, UpgradesUsedBelow, DreamChoiceLeft, ApplicationsSinceBelow,
        ShortlistsBelow, CohortPlacedAtLeast, PenaltyActive, StudentIn, StudentNumber, Within, Not,
    )
}  # fmt: skip
Not.model_rebuild()
