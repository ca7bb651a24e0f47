"""Turn pydantic's validation errors into sentences: the name of the field, then the rule that it broke."""

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

# Pattern → the requirement shown for text that does not match it.
_PATTERNS: dict[str, str] = {}

NUMBER, WHOLE = "must be a number", "must be a whole number"
DAY, INSTANT = "must be a day, like 2030-03-05", "must be a moment with its zone, like 2026-11-24T02:39:19Z"
LIST, OBJECT = "must be a list", "must be a JSON object"
OTHERWISE = "is not valid"

_FIXED = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "none_required": "must be null",
    "string_type": "must be text",
    "string_unicode": "must be valid Unicode text",
    "string_not_ascii": "must have only ASCII characters",
    "finite_number": NUMBER,
    "timezone_naive": INSTANT,
    "timezone_aware": INSTANT,
}
# Texts by the prefix of the error's type.
_BY_PREFIX = (
    ("bool_", "must be true or false"),
    ("int_", WHOLE),
    ("float_", NUMBER),
    ("decimal_", NUMBER),
    ("date_", DAY),
    ("datetime_", INSTANT),
    ("uuid_", "must be a UUID, like 01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10"),
    ("url_", "must be a URL, like https://example.org"),
    ("json_", "must be JSON"),
    ("bytes_", "must be a file"),
    ("list_", LIST),
    ("tuple_", LIST),
    ("set_", LIST),
    ("frozen_set_", LIST),
    ("iterable_", LIST),
    ("dict_", OBJECT),
    ("mapping_", OBJECT),
    ("model_", OBJECT),
    ("dataclass_", OBJECT),
    ("enum", "must be {expected}"),
    ("literal_error", "must be {expected}"),
)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


_WITH_LIMIT: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda ctx: f"must be more than {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"must be {ctx['ge']} or more",
    "less_than": lambda ctx: f"must be less than {ctx['lt']}",
    "less_than_equal": lambda ctx: f"must be {ctx['le']} or less",
    "multiple_of": lambda ctx: f"must be a multiple of {ctx['multiple_of']}",
    "decimal_max_digits": lambda ctx: f"must have at most {_counted(ctx['max_digits'], 'digit')}",
    "decimal_max_places": lambda ctx: f"must have at most {_counted(ctx['decimal_places'], 'decimal')}",
    "decimal_whole_digits": lambda ctx: f"must have at most {_counted(ctx['whole_digits'], 'digit')} before the point",
    "string_too_long": lambda ctx: f"must have at most {_counted(ctx['max_length'], 'character')}",
    "string_too_short": lambda ctx: (
        "must not be empty" if ctx["min_length"] == 1 else f"must have at least {ctx['min_length']} characters"
    ),
    "too_short": lambda ctx: f"must have at least {'one entry' if ctx['min_length'] == 1 else ctx['min_length']}",
    "too_long": lambda ctx: f"must have at most {ctx['max_length']} entries",
    "string_pattern_mismatch": lambda ctx: _PATTERNS.get(ctx["pattern"], "does not have the required form"),
    "value_error": lambda ctx: str(ctx["error"]).rstrip("."),
    "assertion_error": lambda ctx: str(ctx["error"]).rstrip("."),
}


# Pydantic reports a wrong length of a ``SecretStr`` with the error types of a list.
_OF_A_SECRET = {"too_short": "string_too_short", "too_long": "string_too_long"}


def described(pattern: str, requirement: str) -> str:
    """Return ``pattern``, and register ``requirement`` ("must …") as the message for text that does not match it."""
    _PATTERNS[pattern] = requirement
    return pattern


def requirement(error: Mapping[str, Any]) -> str:
    """Return the requirement that an entry of ``ValidationError.errors()`` violates: "must be 10 or less"."""
    type_: str = error["type"]
    if type_ in _OF_A_SECRET and isinstance(error.get("input"), str):
        type_ = _OF_A_SECRET[type_]
    if (limited := _WITH_LIMIT.get(type_)) is not None:
        return limited(error["ctx"])
    if (fixed := _FIXED.get(type_)) is not None:
        return fixed
    text = next((text for prefix, text in _BY_PREFIX if type_.startswith(prefix)), OTHERWISE)
    return text.format_map(error.get("ctx", {})).replace(r"'\t'", "a tab")


def field_name(location: Iterable[int | str]) -> str:
    """Return a dotted name, like ``selected_students.3``, without pydantic's names of validators."""
    return ".".join(str(part) for part in location if isinstance(part, int) or "[" not in part)


def field_sentence(field: str, text: str) -> str:
    """Return one sentence about ``field``: "min_cgpa must be 10 or less."."""
    names = field.split(".")
    places = [f"entry {int(part) + 1}" for part in names if part.isdecimal()]
    name = ".".join(part for part in names if not part.isdecimal()) or "The body"
    shown = f"{name} ({', '.join(places)})" if places else name
    return f"{shown} {text}." if text[:1].islower() else f"{shown}: {text}."


def field_errors(
    errors: Iterable[Mapping[str, Any]], name_of: Callable[[tuple[int | str, ...]], str] = field_name
) -> list[dict[str, Any]]:
    """Return ``{field, message}`` for each of ``errors``; ``message`` is a whole sentence."""
    named = [(name_of(error["loc"]), requirement(error)) for error in errors]
    return [{"field": field or "body", "message": field_sentence(field, text)} for field, text in named]


SHOWN_NAMES = 5
SHOWN_CHARACTERS = 60


def unknown_names(what: str, names: Collection[str], known: Collection[str]) -> str:
    """Return the message that refuses ``names`` and lists the ``known`` ones. ``what``: "field", "query parameter"."""
    several = "s" if len(names) > 1 else ""
    listed = ", ".join(_with_likely(name, known) for name in list(names)[:SHOWN_NAMES])
    more = " and more" if len(names) > SHOWN_NAMES else ""
    accepted = f"Known {what}s: {', '.join(sorted(known))}." if known else f"This call takes no {what}s."
    return f"Unknown {what}{several}: {listed}{more}. {accepted}"


def unknown_name_errors(what: str, names: Iterable[str]) -> list[dict[str, Any]]:
    """Return ``{field, message}`` for each of ``names``; a long name is cut off."""
    return [{"field": name, "message": field_sentence(name, f"is not a known {what}")} for name in map(_shown, names)]


def repeated_names(what: str, names: Collection[str]) -> str:
    """Return the message that refuses ``names`` given more than once where one value is accepted."""
    listed = ", ".join(_shown(name) for name in list(names)[:SHOWN_NAMES])
    return f"Given more than once: {listed}. Give each {what} one value."


def _shown(name: str) -> str:
    return name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…"


def _with_likely(name: str, known: Collection[str]) -> str:
    likely = get_close_matches(name[:SHOWN_CHARACTERS], known, n=1)
    return f"{_shown(name)} (did you mean {likely[0]}?)" if likely else _shown(name)
