"""Find incompatible changes of a JSON Schema, in both directions.

New code reads old events, since the log keeps every event. Old code reads new events, since services are not replaced
all at once and other systems read events too. So a type keeps its fields and their allowed values, and may gain
optional fields. Any other change needs a new type (``….v2``) and an upcaster in ``catalogue``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

# Keywords whose larger (or smaller) value accepts less. The opposite change accepts more.
NARROWER_WHEN_MORE = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
NARROWER_WHEN_LESS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
SAME = ("type", "const", "format", "pattern", "multipleOf", "uniqueItems", "contentMediaType", "contentEncoding")
UNREADABLE = "stored events can no longer be read"
REFUSED = "older readers refuse new events"


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two documents that ``$ref`` points into."""

    released: Schema
    current: Schema


def breaks(released: Schema, current: Schema) -> list[str]:
    """Return each incompatible change from ``released`` to ``current``, with its place.

    With such a change, stored events cannot be read, or older readers refuse new events. Titles, descriptions and the
    order of fields are ignored.
    """
    return list(_compared("", released, current, _Pair(released, current), frozenset()))


def _compared(place: str, old: Schema, new: Schema, root: _Pair, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
    pair = (old.get("$ref", ""), new.get("$ref", ""))
    if pair in seen:
        return
    if all(pair):
        seen |= {pair}
    old, new = _resolved(old, root.released), _resolved(new, root.current)
    if "anyOf" in old or "anyOf" in new:
        yield from _alternatives(place, old, new, root, seen)
        return
    yield from _keywords(place, old, new)
    yield from _values(place, old, new)
    yield from _fields(place, old, new, root, seen)
    for inner in ("items", "additionalProperties"):
        yield from _inner(place, inner, old, new, root, seen)


def _resolved(schema: Schema, document: Schema) -> Schema:
    while (reference := schema.get("$ref")) is not None:
        target: Any = document
        for part in str(reference).removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def _keywords(place: str, old: Schema, new: Schema) -> Iterator[str]:
    for keyword in (*SAME, *NARROWER_WHEN_MORE, *NARROWER_WHEN_LESS):
        before, now = old.get(keyword), new.get(keyword)
        if before != now:
            change = f"{_at(place)}{keyword} was {_shown(before)}, is {_shown(now)}"
            yield f"{change}: {_consequence(keyword, before, now)}"


def _consequence(keyword: str, before: Any, now: Any) -> str:
    if before is None:
        return UNREADABLE
    if now is None:
        return REFUSED
    if keyword in NARROWER_WHEN_MORE:
        return UNREADABLE if now > before else REFUSED
    if keyword in NARROWER_WHEN_LESS:
        return UNREADABLE if now < before else REFUSED
    return UNREADABLE


def _values(place: str, old: Schema, new: Schema) -> Iterator[str]:
    before, now = old.get("enum"), new.get("enum")
    if before is None and now is None:
        return
    if before is None:
        yield f"{_at(place)}may be one of {now} only: {UNREADABLE}"
    elif now is None:
        yield f"{_at(place)}may be anything, was one of {before}: {REFUSED}"
    else:
        yield from (f"{_at(place)}{value!r} is gone: {UNREADABLE}" for value in before if value not in now)
        yield from (f"{_at(place)}{value!r} is new: {REFUSED}" for value in now if value not in before)


def _fields(place: str, old: Schema, new: Schema, root: _Pair, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
    before, now = old.get("properties", {}), new.get("properties", {})
    needed, needed_now = set(old.get("required", ())), set(new.get("required", ()))
    for name, schema in before.items():
        inside = f"{place}.{name}" if place else name
        if name not in now:
            yield f"{inside}: is gone: {REFUSED}"
            continue
        if name in needed_now - needed:
            yield f"{inside}: is required now: {UNREADABLE}"
        if name in needed - needed_now:
            yield f"{inside}: is no longer required: {REFUSED}"
        if name not in needed | needed_now and schema.get("default") != now[name].get("default"):
            yield f"{inside}: has another default: stored events change their meaning"
        yield from _compared(inside, schema, now[name], root, seen)
    for name in (now.keys() - before.keys()) & needed_now:
        yield f"{f'{place}.{name}' if place else name}: is new and required: {UNREADABLE}"


def _alternatives(place: str, old: Schema, new: Schema, root: _Pair, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
    before = {_kind(each, root.released): each for each in old.get("anyOf", (old,))}
    now = {_kind(each, root.current): each for each in new.get("anyOf", (new,))}
    yield from (f"{_at(place)}may no longer be {kind}: {UNREADABLE}" for kind in before.keys() - now.keys())
    yield from (f"{_at(place)}may be {kind} now: {REFUSED}" for kind in now.keys() - before.keys())
    for kind in before.keys() & now.keys():
        yield from _compared(place, before[kind], now[kind], root, seen)


def _kind(schema: Schema, document: Schema) -> str:
    """Return a name that distinguishes an alternative: an object's title, otherwise type and format."""
    resolved = _resolved(schema, document)
    if "properties" in resolved:
        return f"{resolved.get('title', 'object')}"
    return " ".join(str(resolved[name]) for name in ("type", "format", "const") if name in resolved) or "anything"


def _inner(
    place: str, name: str, old: Schema, new: Schema, root: _Pair, seen: frozenset[tuple[str, str]]
) -> Iterator[str]:
    if name not in old and name not in new:
        return
    # `true`, `{}` and an absent keyword accept anything. `false` accepts nothing.
    before, now = ({} if each.get(name, True) is True else each[name] for each in (old, new))
    if before is False or now is False:
        if before != now:
            yield f"{_at(place)}{name} was {before}, is {now}: {UNREADABLE if now is False else REFUSED}"
        return
    yield from _compared(f"{place}[]", before, now, root, seen)


def _at(place: str) -> str:
    return f"{place}: " if place else ""


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)
