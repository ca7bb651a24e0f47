"""Read JSON with the place of each value. Python's own reader records no places and allows duplicate keys."""

import re
from decimal import Decimal
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn

from services.api.policy.located import MAX_DEPTH, MAX_DIGITS, InvalidDocument, Located, Path, Problem, path_text

SPACE = re.compile(r"[ \t\n\r]*")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
CONSTANT = re.compile(r"true|false|null")
CONSTANTS = {"true": True, "false": False, "null": None}


def read_json(text: str) -> Located:
    """Return the document in ``text``. Raise ``InvalidDocument`` with the line and column of the problem."""
    reader = _Reader(text)
    value, end = reader.value(reader.skip(0), ())
    if reader.skip(end) != len(text):
        reader.refuse(reader.skip(end), (), "is not valid JSON: nothing may follow the document")
    return Located(value, reader.places)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.places: dict[Path, tuple[int, int]] = {}

    def skip(self, at: int) -> int:
        match = SPACE.match(self.text, at)
        return match.end() if match else at

    def place(self, at: int) -> tuple[int, int]:
        return self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)

    def refuse(self, at: int, path: Path, message: str) -> NoReturn:
        raise InvalidDocument([Problem(*self.place(at), path_text(path), message)])

    def value(self, at: int, path: Path) -> tuple[Any, int]:
        if len(path) > MAX_DEPTH:
            self.refuse(at, path, f"is nested more than {MAX_DEPTH} levels deep")
        self.places.setdefault(path, self.place(at))
        match self.text[at : at + 1]:
            case "{":
                return self._mapping(at, path)
            case "[":
                return self._list(at, path)
            case '"':
                return self._string(at, path)
        if constant := CONSTANT.match(self.text, at):
            return CONSTANTS[constant[0]], constant.end()
        return self._number(at, path)

    def _number(self, at: int, path: Path) -> tuple[Any, int]:
        number = NUMBER.match(self.text, at)
        if number is None:
            self.refuse(at, path, "is not valid JSON: a value is missing here")
        if number[2]:
            self.refuse(at, path, f"{number[0]} is not a plain number: write digits as in 600000 or 1.5")
        if len(number[0]) > MAX_DIGITS:
            self.refuse(at, path, f"a number may have {MAX_DIGITS} digits")
        return (Decimal(number[0]) if number[1] else int(number[0])), number.end()

    def _string(self, at: int, path: Path) -> tuple[str, int]:
        try:
            text, end = JSONDecoder().raw_decode(self.text, at)
        except JSONDecodeError as error:
            self.refuse(error.pos, path, f"is not valid JSON: {error.msg}")
        return str(text), end

    def _list(self, at: int, path: Path) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "]":
            item, at = self.value(at, (*path, len(items)))
            items.append(item)
            at = self._next(at, path, "]")
        return items, at + 1

    def _mapping(self, at: int, path: Path) -> tuple[dict[str, Any], int]:
        mapping: dict[str, Any] = {}
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                self.refuse(at, path, 'is not valid JSON: a key in quotes is missing here ("levels")')
            start = at
            key, at = self._string(at, path)
            if key in mapping:
                self.refuse(start, (*path, key), f"the key {key!r} is already in line {self.places[*path, key][0]}")
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                self.refuse(at, path, "is not valid JSON: a colon is missing here")
            self.places[*path, key] = self.place(start)
            mapping[key], at = self.value(self.skip(at + 1), (*path, key))
            at = self._next(at, path, "}")
        return mapping, at + 1

    def _next(self, at: int, path: Path, end: str) -> int:
        """Return where the next item begins, or where ``end`` is."""
        at = self.skip(at)
        sign = self.text[at : at + 1]
        if sign == end:
            return at
        if sign != ",":
            self.refuse(at, path, f"is not valid JSON: a comma or {end} is missing here")
        following = self.skip(at + 1)
        if self.text[following : following + 1] == end:
            self.refuse(at, path, f"is not valid JSON: no comma may stand before {end}")
        return following
