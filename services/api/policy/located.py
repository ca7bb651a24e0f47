"""A document as plain values, with the place of each value in the text."""

from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 30
MAX_DIGITS = 18

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem in a document. ``line`` and ``column`` count from 1."""

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{self.line}:{self.column}: {place}{self.message}"


class InvalidDocument(Exception):
    """The document is refused. ``problems``: each reason with its place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Located:
    """``value``: mappings, lists, text, whole numbers, decimals, booleans and ``None``. No binary fractions."""

    value: Any
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path) -> tuple[int, int]:
        """Return the line and column of ``path``, or of the closest enclosing value with a place."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, (1, 1))

    def problem(self, path: Path, message: str) -> Problem:
        return Problem(*self.place(path), path_text(path), message)


def path_text(path: Path) -> str:
    """Return ``path`` as it is shown: ``allow[0][1].to``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def decoded(content: bytes) -> str:
    """Return the text of a file. Raise ``InvalidDocument`` when it is too large or not UTF-8."""
    if len(content) > MAX_BYTES:
        raise InvalidDocument([Problem(1, 1, "", f"is larger than {MAX_BYTES // 1024} KiB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise InvalidDocument([Problem(line, column, "", "is not UTF-8 text")]) from error
