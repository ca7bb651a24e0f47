"""The values of a policy document: names, amounts, dates, and the fixed lists of states and types."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StrictInt,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

MAX_RUPEES = 10**12
MAX_COUNT = 100_000
MAX_DECIMALS = 6


class PolicyModel(BaseModel):
    """A frozen part of a policy document. A key that the grammar does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value
        if not isinstance(value, Mapping):
            allowed = ", ".join(cls.key_names())
            raise PydanticCustomError("mapping", "must be a mapping with the keys {allowed}", {"allowed": allowed})
        if unknown := [key for key in value if key not in cls.key_names()]:
            raise PydanticCustomError(
                "unknown_key",
                "unknown key",
                {"unknown": [str(key) for key in unknown], "allowed": list(cls.key_names())},
            )
        return value

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        """Return the keys as they are written in a document."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class Source(StrEnum):
    """Where an offer comes from."""

    CAMPUS = "CAMPUS"
    PPO = "PPO"
    OFF_CAMPUS = "OFF_CAMPUS"


class OfferType(StrEnum):
    FTE = "FTE"
    INTERN = "INTERN"
    INTERN_FTE = "INTERN_FTE"
    INTERN_PPO = "INTERN_PPO"


class DriveClass(StrEnum):
    PRIVATE = "PRIVATE"
    PSU = "PSU"


class OfferState(StrEnum):
    ANNOUNCED = "announced"
    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ENDED = "ended"


class ApplicationState(StrEnum):
    """``active``: still running. ``drive_cancelled``: the drive was cancelled while the application was running."""

    ACTIVE = "active"
    OFFERED = "offered"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    DRIVE_CANCELLED = "drive_cancelled"


class Pay(StrEnum):
    """Which part of the pay a condition compares: fixed pay, or total pay (CTC)."""

    FIXED = "fixed"
    TOTAL = "total"


class Against(StrEnum):
    """The offers that a drive is compared with."""

    BEST = "best_held"
    EVERY = "every_held"


T = TypeVar("T")


def _rupees(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError(
            "rupees", "must be whole rupees a year, such as 600000 (no decimals, commas or units)"
        )
    return value


def _ratio(value: Any) -> Any:
    """Return ``value`` as an exact decimal. Accepts text, because JSON stores ratios as text."""
    number = value
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise PydanticCustomError("exact_number", "must be a number with a decimal point, such as 1.5")
    exact = Decimal(number)
    if not exact.is_finite() or -int(exact.as_tuple().exponent) > MAX_DECIMALS:
        raise PydanticCustomError("exact_number", "must be a number of at most 6 decimals, such as 1.5")
    return exact


def _day(value: Any) -> Any:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else _not_a_day()
    except ValueError:
        return _not_a_day()


def _not_a_day() -> Any:
    raise PydanticCustomError("day", "must be a date such as 2026-12-01")


def _several(value: Any) -> Any:
    """Return ``value`` as a list, also a single value. Raise ``PydanticCustomError`` for a repeated value."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len({str(item) for item in items}) < len(items):
        raise PydanticCustomError("repeated", "must not repeat a value")
    return items


class OneOrList:
    """States in the JSON Schema that a single value may stand for a list of one."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        list_schema = handler(schema)
        return {"anyOf": [list_schema["items"], list_schema]}


def _count(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("count", "must be a whole number")
    return value


ID = r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$"
Name = Annotated[str, Field(strict=True, min_length=1, max_length=60, pattern=ID)]
Rupees = Annotated[StrictInt, BeforeValidator(_rupees), Field(ge=0, le=MAX_RUPEES)]
Count = Annotated[StrictInt, BeforeValidator(_count), Field(ge=1, le=MAX_COUNT)]
CountOrZero = Annotated[StrictInt, BeforeValidator(_count), Field(ge=0, le=MAX_COUNT)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
# Exact decimals are stored as text, so that no reader rounds them.
_DECIMAL = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,6})?$"}]}
Exact = Annotated[
    Decimal, BeforeValidator(_ratio), PlainSerializer(str, return_type=str, when_used="json"), WithJsonSchema(_DECIMAL)
]
Ratio = Annotated[Exact, Field(gt=0, le=1000)]
Percent = Annotated[Exact, Field(ge=0, le=100)]
# One value, or a list of values.
Several = Annotated[list[T], BeforeValidator(_several), Field(min_length=1, max_length=100), OneOrList()]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=500)]
