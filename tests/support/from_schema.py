"""Generate data that a published JSON Schema allows, in the form that our code writes."""

from datetime import UTC
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# Postgres stores neither NUL nor surrogates.
TEXT = st.characters(codec="utf-8", exclude_characters="\0")
FORMATS: dict[str, SearchStrategy[str]] = {
    "uuid": st.uuids().map(str),
    "date": st.dates().map(str),
    "date-time": st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
}


def written(schema: Any, document: Any = None) -> SearchStrategy[Any]:
    document = document or schema
    if (reference := schema.get("$ref")) is not None:
        return written(document["$defs"][reference.rpartition("/")[2]], document)
    if "anyOf" in schema:
        return st.one_of([written(each, document) for each in _alternatives(schema["anyOf"])])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "properties" in schema:
        return _object(schema, document)
    return _plain(schema, document)


def _alternatives(schemas: list[Any]) -> list[Any]:
    """Return the alternatives to generate. A decimal may be a number or text; only the number has its limits."""
    decimal = any(each.get("type") == "number" for each in schemas)
    return [each for each in schemas if not (decimal and each.get("type") == "string")]


def _object(schema: Any, document: Any) -> SearchStrategy[Any]:
    fields = {name: written(inner, document) for name, inner in schema["properties"].items()}
    needed = set(schema.get("required", ()))
    optional = {name: field for name, field in fields.items() if name not in needed}
    return st.fixed_dictionaries({name: fields[name] for name in needed}, optional=optional)


def _plain(schema: Any, document: Any) -> SearchStrategy[Any]:
    match schema["type"]:
        case "integer":
            return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31))
        case "number":
            bounds = schema.get("minimum", -1000), schema.get("maximum", 1000)
            return st.decimals(*bounds, places=2).map(str)
        case "string":
            return _text(schema)
        case "array":
            max_size = min(schema.get("maxItems", 5), schema.get("minItems", 0) + 5)
            return st.lists(written(schema["items"], document), min_size=schema.get("minItems", 0), max_size=max_size)
        case other:
            return {"boolean": st.booleans(), "null": st.none()}[other]


def _text(schema: Any) -> SearchStrategy[str]:
    if "format" in schema:
        return FORMATS[schema["format"]]
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace(r"\d", "[0-9]"), fullmatch=True)
    return st.text(TEXT, min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 50))
