"""Read the YAML of policy documents: no anchors, no tags, no duplicate keys, and no surprising values.

Values follow YAML 1.2: only ``true`` and ``false`` are booleans, so ``on``, ``off``, ``yes`` and ``no`` stay text.
"""

import re
from decimal import Decimal
from typing import Any, NoReturn

import yaml

from services.api.policy.located import MAX_DEPTH, MAX_DIGITS, InvalidDocument, Located, Path, Problem, path_text

WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
FRACTION = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
# Text that some YAML readers take for a number and others do not.
OTHER_NUMBER = re.compile(
    r"[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_]*|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|\.[0-9]+|[0-9]+\.)"
    r"|\+[0-9].*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
CONSTANTS: dict[str, bool | None] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip


def read_yaml(text: str) -> Located:
    """Return the document in ``text``. Raise ``InvalidDocument`` with the line and column of the problem."""
    try:
        _refuse_references(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise InvalidDocument([_syntax_problem(error)]) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise InvalidDocument([Problem(line, 1, "", "holds a character that YAML does not allow")]) from error
    if node is None:
        raise InvalidDocument([Problem(1, 1, "", "is empty")])
    places: dict[Path, tuple[int, int]] = {}
    return Located(_value(node, (), places), places)


def _refuse_references(text: str) -> None:
    """Raise ``InvalidDocument`` for anchors, aliases, tags, several documents and deep nesting, before composing."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            _refuse(event, (), "anchors and aliases (& and *) are not allowed: write the value out")
        if (tag := getattr(event, "tag", None)) not in (None, "!"):
            _refuse(event, (), f"the tag {tag} is not allowed")
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            _refuse(event, (), "holds several documents: one file is one document")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            _refuse(event, (), f"is nested more than {MAX_DEPTH} levels deep")


def _value(node: Any, path: Path, places: dict[Path, tuple[int, int]]) -> Any:
    places.setdefault(path, _place(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, number), places) for number, item in enumerate(node.value)]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            _refuse(key_node, path, "a key must be a single word")
        key = str(key_node.value)
        if key == "<<":
            _refuse(key_node, path, "merge keys (<<) are not allowed: write the values out")
        if key in mapping:
            line = places[*path, key][0]
            _refuse(key_node, (*path, key), f"the key {key!r} is already in line {line}")
        places[*path, key] = _place(key_node)
        mapping[key] = _value(value_node, (*path, key), places)
    return mapping


def _scalar(node: Any, path: Path) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if text in CONSTANTS:
        return CONSTANTS[text]
    whole, fraction = WHOLE.fullmatch(text), FRACTION.fullmatch(text)
    if (whole or fraction) and len(text) > MAX_DIGITS:
        _refuse(node, path, f"a number may have {MAX_DIGITS} digits")
    if whole:
        return int(text)
    if fraction:
        return Decimal(text)
    if OTHER_NUMBER.fullmatch(text):
        _refuse(
            node, path, f"{text} is not a plain number: write digits as in 600000 or 1.5, or quote it if it is text"
        )
    return text


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _refuse(node: Any, path: Path, message: str) -> NoReturn:
    raise InvalidDocument([Problem(*_place(node), path_text(path), message)])


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    context = f" {error.context}" if error.context else ""
    return Problem(line, column, "", f"is not valid YAML: {error.problem or 'malformed'}{context}")
