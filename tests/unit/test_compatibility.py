"""Released schemas stay compatible: this code reads old events, and old readers accept new events."""

import json
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from contracts.catalogue import EVENTS, UPCASTERS, read_event
from contracts.compatibility import REFUSED, UNREADABLE, breaks
from contracts.publish import release, released, schemas
from tests.support.from_schema import written
from tests.support.sizes import sized

RELEASED = {name: json.loads(text) for name, text in released().items()}
CURRENT = {name: json.loads(text) for name, text in schemas().items()}
TYPES = sorted(name.removesuffix(".json") for name in RELEASED if name.startswith("placewire."))


def test_there_is_a_release() -> None:
    assert TYPES
    assert "envelope.json" in RELEASED


def test_only_a_retired_event_type_may_disappear() -> None:
    assert RELEASED.keys() - CURRENT.keys() <= {f"{type_}.json" for type_ in UPCASTERS}


@pytest.mark.parametrize("name", sorted(RELEASED.keys() & CURRENT.keys()))
def test_current_schemas_do_not_break_released_ones(name: str) -> None:
    assert breaks(RELEASED[name], CURRENT[name]) == [], "add a new type (….v2) and an upcaster; see contracts/README.md"


@pytest.mark.parametrize("type_", TYPES)
def test_a_released_type_has_a_class_or_an_upcaster(type_: str) -> None:
    assert type_ in EVENTS or type_ in UPCASTERS


@pytest.mark.parametrize("type_", TYPES)
def test_events_of_a_released_schema_can_be_read(type_: str) -> None:
    """Generate events from the released schema, and read them with the current code."""

    @settings(
        max_examples=sized(small=5, full=50), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(written(RELEASED[f"{type_}.json"]))
    def read(data: dict[str, Any]) -> None:
        assert read_event(type_, data)

    read()


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Fewer(StrEnum):
    RED = "red"


class More(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Inner(BaseModel):
    size: int


class Wider(BaseModel):
    size: int
    more: str | None = None


class Narrower(BaseModel):
    size: int
    more: str


FIELDS: dict[str, Any] = {
    "id": (int, ...),
    "note": (str | None, None),
    "colour": (Colour, ...),
    "mark": (Annotated[Decimal, Field(ge=0, le=10)], ...),
    "text": (Annotated[str, Field(max_length=10, pattern="^a")], "a"),
    "inner": (Inner, ...),
    "maybe": (Inner | None, None),
    "list": (list[Inner], ...),
}


def schema(**changed: Any) -> dict[str, Any]:
    """Return the schema of ``FIELDS`` with these changes. ``None`` removes a field."""
    fields = {name: field for name, field in {**FIELDS, **changed}.items() if field is not None}
    model: type[BaseModel] = create_model("Thing", **fields)
    return model.model_json_schema()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"added": (str | None, None)},
        {"added": (int, 0)},
        {"inner": (Annotated[Inner, Field(description="a better description")], ...)},
        {"inner": (Wider, ...), "maybe": (Inner | None, None)},
        {"list": (list[Wider], ...)},
    ],
    ids=str,
)
def test_a_compatible_change_is_accepted(changed: dict[str, Any]) -> None:
    new = json.loads(json.dumps(schema(**changed)).replace("Wider", "Inner"))
    assert breaks(schema(), new) == []


@pytest.mark.parametrize(
    ("changed", "place", "why"),
    [
        ({"note": None}, "note", REFUSED),
        ({"id": None}, "id", REFUSED),
        ({"added": (int, ...)}, "added", UNREADABLE),
        ({"note": (str | None, ...)}, "note", UNREADABLE),
        ({"id": (int, 0)}, "id", REFUSED),
        ({"id": (str, ...)}, "id", UNREADABLE),
        ({"id": (int | None, ...)}, "id", REFUSED),
        ({"id": (int | str, ...)}, "id", REFUSED),
        ({"note": (str, "")}, "note", UNREADABLE),
        ({"note": (str | None, "else")}, "note", "change their meaning"),
        ({"colour": (Fewer, ...)}, "colour", UNREADABLE),
        ({"colour": (More, ...)}, "colour", REFUSED),
        ({"colour": (str, ...)}, "colour", REFUSED),
        ({"mark": (Annotated[Decimal, Field(ge=1, le=10)], ...)}, "mark", UNREADABLE),
        ({"mark": (Annotated[Decimal, Field(ge=0, le=4)], ...)}, "mark", UNREADABLE),
        ({"mark": (Annotated[Decimal, Field(ge=0, le=100)], ...)}, "mark", REFUSED),
        ({"mark": (Annotated[Decimal, Field(ge=0)], ...)}, "mark", REFUSED),
        ({"id": (Annotated[int, Field(ge=0)], ...)}, "id", UNREADABLE),
        ({"text": (Annotated[str, Field(max_length=5, pattern="^a")], "a")}, "text", UNREADABLE),
        ({"text": (Annotated[str, Field(max_length=50, pattern="^a")], "a")}, "text", REFUSED),
        ({"text": (Annotated[str, Field(max_length=10, pattern="^b")], "a")}, "text", UNREADABLE),
        ({"inner": (Narrower, ...)}, "inner.more", UNREADABLE),
        ({"maybe": (Narrower | None, None)}, "maybe.more", UNREADABLE),
        ({"maybe": (Inner, ...)}, "maybe", UNREADABLE),
        ({"list": (list[Narrower], ...)}, "list[].more", UNREADABLE),
        ({"list": (list[int], ...)}, "list[]", UNREADABLE),
    ],
    ids=str,
)
def test_each_break_is_reported_with_its_place(changed: dict[str, Any], place: str, why: str) -> None:
    new = json.loads(json.dumps(schema(**changed)).replace("Narrower", "Inner").replace("Fewer", "Colour"))
    reported = breaks(schema(), new)
    assert any(line.startswith(f"{place}: ") and why in line for line in reported), reported


NAMES = st.sampled_from(sorted(FIELDS))


@given(NAMES)
def test_removing_a_field_is_a_break(name: str) -> None:
    assert breaks(schema(), schema(**{name: None}))


def test_a_recursive_schema_is_compared() -> None:
    tree = {
        "$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}, "size": {"type": "integer"}}}},
        "$ref": "#/$defs/Node",
    }
    assert breaks(tree, tree) == []
    changed = json.loads(json.dumps(tree).replace("integer", "string"))
    assert len(breaks(tree, changed)) == 1


def test_a_new_release_keeps_retired_schemas(tmp_path: Path) -> None:
    old = tmp_path / "0.0.9"
    old.mkdir()
    (old / "placewire.thing.done.v1.json").write_text("{}")
    release("0.1.0", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0.1.0"]
    assert released(tmp_path) == schemas() | {"placewire.thing.done.v1.json": "{}"}


def changes_of(document: dict[str, Any]) -> list[Callable[[dict[str, Any]], None]]:
    """Return a breaking change for each field: remove it, or require it if it was optional."""

    def without(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda schema: schema["properties"].pop(name)

    def requiring(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda schema: schema.setdefault("required", []).append(name)

    optional = document.get("properties", {}).keys() - set(document.get("required", ()))
    return [*(without(name) for name in document.get("properties", {})), *(requiring(name) for name in optional)]


@pytest.mark.parametrize("name", sorted(CURRENT))
def test_a_break_of_any_published_schema_is_found(name: str) -> None:
    """The comparison finds breaks in our real schemas, not only in examples."""
    for change in changes_of(CURRENT[name]):
        changed = json.loads(json.dumps(CURRENT[name]))
        change(changed)
        assert breaks(CURRENT[name], changed)
