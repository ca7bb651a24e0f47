"""Format numbers as a spreadsheet shows them, for the formats that lists of students use."""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

# Formats that files name by number only (ECMA-376, 18.8.30). The file reader recognises dates and times itself.
BUILT_IN = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 48: "##0.0E+0", 49: "@",
}  # fmt: skip
GENERAL = ("", "general", "@", "standard")
# Excel replaces the last digits of larger numbers with zeros.
MAX_EXACT = 10**15

_QUOTED = re.compile(r'"([^"]*)"|\\(.)|_.|\*.')
_SECTIONS = re.compile(r'"[^"]*"|\\.|[^;"\\]|["\\]')
_BRACKETS = re.compile(r"\[[^\]]*\]")
_PATTERN = re.compile(r"(?P<before>[^0#?.,%]*)(?P<whole>[#?,]*[0?,#]*)(?P<places>\.[0#?]+)?(?P<after>[^0#?.,]*)")
_DATE_LETTERS = re.compile(r"[ymdhs]", re.IGNORECASE)


class Unshowable(Exception):
    """It is uncertain what the sheet shows for a number. The message continues "the cell …" and says what to do."""


@dataclass(frozen=True, slots=True)
class _Format:
    before: str
    zeros: int
    grouped: bool
    places: int
    percent: bool
    after: str


def shown(value: float, code: str) -> str:
    """Return ``value`` as format ``code`` shows it, without grouping of thousands; a percentage ends in ``%``.

    Raises ``Unshowable`` for an unknown format, or one that hides a part of the number.
    """
    if not math.isfinite(value):
        raise Unshowable("holds no number: enter it again")
    if code.casefold() in GENERAL:
        return general(value)
    section = _section(code, value)
    if isinstance((parsed := _parsed(section)), str):
        return parsed
    if parsed is None:
        raise Unshowable(f"is formatted as {code!r}, and what it shows is not certain: format it as text or number")
    exact = Decimal(repr(value)) * (100 if parsed.percent else 1)
    visible = exact.quantize(Decimal(1).scaleb(-parsed.places), ROUND_HALF_UP)
    if abs(visible - exact.quantize(Decimal("0.01"), ROUND_HALF_UP)) > Decimal("1e-9") and parsed.places < 2:
        plain = format(exact.normalize(), "f")
        raise Unshowable(f"shows {visible} and holds {plain}: show all decimals, or round the number")
    digits = format(abs(visible), "f")
    whole, dot, fraction = digits.partition(".")
    sign = "-" if visible < 0 else ""
    text = f"{sign}{parsed.before}{whole.zfill(parsed.zeros)}{dot}{fraction}{parsed.after}"
    return text + "%" if parsed.percent else text


def general(value: float) -> str:
    """Return a number as it was typed. Raises ``Unshowable`` for a number whose last digits are lost."""
    if value.is_integer():
        if abs(value) >= MAX_EXACT:
            raise Unshowable(
                "holds more than 15 digits, the rest is lost: format the column as text and enter it again"
            )
        return str(int(value))
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


@cache
def _sections(code: str) -> tuple[str, ...]:
    """Return the sections of ``code``: for positive numbers, negative numbers, zero, and text."""
    sections = [""]
    position = 0
    while position < len(code):
        if code[position] == ";":
            sections.append("")
            position += 1
        else:
            part = _SECTIONS.match(code, position)
            assert part is not None
            sections[-1] += part[0]
            position = part.end()
    return tuple(sections)


def _section(code: str, value: float) -> str:
    """Return the section of ``code`` that shows ``value``. Raises ``Unshowable`` for one that may hide a minus sign."""
    sections = _sections(code)
    if value < 0 and len(sections) > 1:
        raise Unshowable(f"is formatted as {code!r}, and what it shows is not certain: format it as text or number")
    return sections[2] if value == 0 and len(sections) > 2 else sections[0]


@cache
def _parsed(section: str) -> _Format | str | None:
    """Return how ``section`` shows a number, or the text that it shows instead. ``None``: it is not understood."""
    if re.search(r"\[[<>=]", section):
        return None
    literals: list[str] = []

    def keep_literal(match: re.Match[str]) -> str:
        literals.append(match[1] if match[1] is not None else match[2] or "")
        return chr(0xE000 + len(literals) - 1)

    def text(part: str) -> str:
        return "".join(literals[ord(letter) - 0xE000] if letter >= "\ue000" else letter for letter in part)

    plain = _BRACKETS.sub("", _QUOTED.sub(keep_literal, section))
    if not re.search(r"[0#@A-Za-z/%]", plain):
        return text(plain.replace("?", "")).strip()
    percent = plain.count("%") == 1
    match = _PATTERN.fullmatch(plain.replace("%", "").strip())
    if match is None or plain.count("%") > 1 or not (match["whole"] or match["places"]):
        return None
    if _DATE_LETTERS.search(match["before"] + match["after"]) or re.search(r"[Ee/@]", match["before"] + match["after"]):
        return None
    if match["whole"].endswith(","):
        return None

    return _Format(
        text(match["before"]).lstrip(),
        match["whole"].count("0"),
        "," in match["whole"],
        len(match["places"] or ".") - 1,
        percent,
        text(match["after"]).rstrip(),
    )
