"""Convert the text of a cell to its stored form: trimmed, in NFC, numbers in one format. Refuse ambiguous cells."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

EMPTY_MARKERS = frozenset(
    (
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
        ".",
        "n/a",
        "na",
        "n.a.",
        "n.a",
        "nil",
        "none",
        "null",
        "not applicable",
        "not available",
    )
)
MAX_CELL = 1_000
SHOWN = 60

_ERROR = re.compile(r"#(?:REF!|N/A|VALUE!|NAME\?|DIV/0!|NULL!|NUM!|SPILL!|CALC!|GETTING_DATA|FIELD!|####*)|Err:\d+|#+")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?E\+\d+|\d[.,]\d+E\d+", re.IGNORECASE)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}")
_OUT_OF = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(\d+)")
_WHOLE_AS_FLOAT = re.compile(r"(\d+)\.0+")
_AS_TEXT = re.compile(r'="([^"]*)"')
_SPACES = re.compile(r"[ \t\r\n\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_DECIMAL = re.compile(r"[+-]?\d+\.\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# A computed number. Doubles print with up to 17 digits, and people do not type marks with nine decimals.
_COMPUTED = re.compile(r"\d+\.\d{9,}")
# Dates, times and truth values. A spreadsheet converts some roll numbers to them, and writes them to a CSV file.
_MOMENT = re.compile(
    r"\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:-\d{2,4})?|"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-\d{2,4}|"
    r"\d{1,2}([/.-])\d{1,2}\1(?:19|20)\d{2}|"
    r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}:\d{2}(?::\d{2})?(?: [ap]m)?|true|false",
    re.IGNORECASE,
)
_NO_BACKLOGS = re.compile(
    r"(?:nil|none|no|zero)(?: (?:active|live|current|standing|pending))?(?: (?:backlog|arrear|kt|atkt)s?)?\.?",
    re.IGNORECASE,
)
_NOT_IN_A_DOMAIN = re.compile(r"[^\w.\-]|_", re.ASCII)
_EMAIL_PARTS = re.compile(r"[^@\s]+@[^@\s]+")
# Invisible characters that are not of the Unicode category "format".
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc\ufffd")
_JOINERS = frozenset("\u200c\u200d")
TWO_PLACES = Decimal("0.01")
PERCENT = 100
HIGHEST = {"tenth_percent": PERCENT, "twelfth_percent": PERCENT, "diploma_percent": PERCENT, "cgpa": 10}


class Unusable(Exception):
    """The cell cannot be stored. The message continues a sentence that begins with the column, and says what to do."""


@dataclass(slots=True)
class Rounding:
    """Marks that were rounded to two decimals: their number, and the first one."""

    count: int = 0
    first: tuple[str, str] | None = None

    def add(self, text: str, rounded: str) -> None:
        self.count += 1
        self.first = self.first or (text, rounded)


def is_empty_marker(text: str) -> bool:
    """Return whether ``text`` is empty, or a common way to write an empty value: NA, NIL, a dash."""
    return not text or text.casefold() in EMPTY_MARKERS


def _plain(text: str) -> str:
    """Return ``text`` trimmed and in NFC. Raises ``Unusable`` for a formula, an error of a formula or a long text."""
    if len(text) > MAX_CELL:
        raise Unusable(f"is longer than {MAX_CELL:,} characters")
    if not text.isascii() or not text.isprintable():
        text = unicodedata.normalize("NFC", text)
    text = text.strip()
    if "\0" in text:
        raise Unusable("has a NUL byte in it")
    if match := _AS_TEXT.fullmatch(text):
        text = match[1].strip()
    if text.startswith("=") and len(text) > 1:
        raise Unusable(f"{text[:SHOWN]!r} is the text of a formula: enter what the formula shows")
    if _ERROR.fullmatch(text):
        raise Unusable(f"holds {text}, the error of a formula: correct the formula in the sheet, or clear the cell")
    return text


def _refuse_invisible(text: str, *, spaces: bool) -> None:
    """Raise ``Unusable`` for invisible characters and, with ``spaces``, for unusual spaces."""
    if text.isascii() and text.isprintable():
        return
    for index, letter in enumerate(text):
        category = unicodedata.category(letter)
        is_invisible = category in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp") or letter in _BLANK
        if (
            letter in _JOINERS
            and index
            and unicodedata.category(text[index - 1])[0] in "LM"
            and not text[index - 1].isascii()
        ):
            continue  # joiners are part of the spelling in the scripts of India
        if is_invisible or (spaces and category == "Zs" and letter != " ") or "\ufe00" <= letter <= "\ufe0f":
            name = unicodedata.name(letter, "control character")
            raise Unusable(
                f"has an invisible character at place {index + 1} (U+{ord(letter):04X}, {name.lower()}): "
                "delete it, or type the value again"
            )


def _words(text: str) -> str:
    """Return a name, branch or department as it is stored."""
    text = _SPACES.sub(" ", _plain(text)).strip()
    if text:
        _refuse_apostrophe(text)
    _refuse_invisible(text, spaces=True)
    if not text.isascii():
        _refuse_wrong_encoding(text)
    return text


def _refuse_wrong_encoding(text: str) -> None:
    """Raise ``Unusable`` for UTF-8 text that a program has read as Windows-1252: "José" became "JosÃ©"."""
    try:
        original = text.encode("cp1252").decode()
    except UnicodeError:
        return
    raise Unusable(
        f"{text[:SHOWN]!r} was saved with a wrong encoding, it should perhaps be {original[:SHOWN]!r}: enter it again"
    )


def name(text: str) -> str:
    """Return a person's name as it is stored. A dash counts as empty, but "Na" is a name."""
    text = _words(text)
    if not any(letter.isalnum() for letter in text):
        return ""
    if _EMAIL_PARTS.fullmatch(text) or not any(letter.isalpha() for letter in text):
        raise Unusable(f"{text[:SHOWN]!r} is not a person's name: enter the name")
    return text


def label(text: str) -> str:
    """Return a branch or department as it is stored."""
    text = _words(text)
    return "" if is_empty_marker(text) else text


def _refuse_apostrophe(text: str) -> None:
    if text[0] in "'`\u2018\u2019":
        raise Unusable(f"{text[:SHOWN]!r} begins with an apostrophe: remove it")


def roll_number(text: str) -> str:
    """Return a roll number as it is stored. Raises ``Unusable`` for a number that a spreadsheet has changed."""
    text = _plain(text)
    if is_empty_marker(text):
        return ""
    _refuse_invisible(text, spaces=True)
    if _SCIENTIFIC.fullmatch(text):
        raise Unusable(
            f"{text!r} is a long number that Excel has shortened, its last digits are lost: format the column as text, "
            "enter the numbers again, and save the file again"
        )
    _refuse_apostrophe(text)
    if _MOMENT.fullmatch(text):
        raise Unusable(
            f"{text!r} is a date, a time or a truth value, which a spreadsheet makes of some roll numbers: format the "
            "column as text, enter the numbers again, and save the file anew"
        )
    if whole := _WHOLE_AS_FLOAT.fullmatch(text):
        return whole[1]
    if _GROUPED.fullmatch(text):
        raise Unusable(f"{text!r} has separators of thousands: format the column as text, without separators")
    return _SPACES.sub(" ", text)


def email(text: str) -> str:
    """Return an e-mail address as it is stored. Raises ``Unusable`` for text that cannot be one."""
    text = _plain(text)
    if is_empty_marker(text):
        return ""
    _refuse_invisible(text, spaces=True)
    shown = repr(text[:SHOWN])
    _refuse_apostrophe(text)
    if text.casefold().startswith("mailto:"):
        raise Unusable(f"{shown} is a link: remove 'mailto:'")
    if text.count("@") > 1:
        raise Unusable(f"{shown} has more than one @: keep one address")
    if "," in text or ";" in text:
        raise Unusable(f"{shown} holds a comma or semicolon: keep one address")
    if any(letter in text for letter in '<>"()[]\\') and "@" in text:
        raise Unusable(f"{shown} holds quotes or brackets: keep only the address, such as ravi@college.edu")
    before, _, domain = text.rpartition("@")
    ascii_domain = "".join(letter for letter in domain if letter.isascii())
    if before and (":" in before or _NOT_IN_A_DOMAIN.search(ascii_domain)):
        raise Unusable(f"{shown} is not an e-mail address: keep only the address, such as ravi@college.edu")
    if _EMAIL_PARTS.fullmatch(text) and ("" in domain.split(".") or "" in before.split(".")):
        raise Unusable(f"{shown} has a dot too many: correct the address")
    return text


@dataclass(frozen=True, slots=True)
class NumberRule:
    """Converts the cells of a column of numbers. ``highest``: the highest mark (100 for percentages), if any."""

    comma_decimals: bool
    rounding: Rounding
    highest: int | None = None

    def __call__(self, text: str) -> str:
        """Return a number as it is stored. Other text stays unchanged, and the check of the column refuses it."""
        text = _plain(text)
        if is_empty_marker(text):
            return ""
        if self.highest == PERCENT and text.endswith("%"):
            text = text[:-1].rstrip()
        if self.comma_decimals and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        _refuse_invisible(text, spaces=True)
        if self.highest and (parts := _OUT_OF.fullmatch(text)):
            text = self._out_of(text, parts[1], int(parts[2]))
        if _COMPUTED.fullmatch(text):
            text = rounded(text, self.rounding)
        elif _DECIMAL.fullmatch(text):
            text = text.rstrip("0").rstrip(".")
        return text

    def _out_of(self, text: str, mark: str, highest: int) -> str:
        if highest != self.highest:
            stored = "the percentage" if self.highest == PERCENT else f"the mark out of {self.highest}"
            raise Unusable(f"{text!r} is a mark out of {highest}: enter {stored}")
        return mark


def backlogs(text: str, as_number: Callable[[str], str]) -> str:
    """Return a number of backlogs as it is stored. "Nil" and "No backlogs" are 0; a dash and "NA" are empty."""
    return "0" if _NO_BACKLOGS.fullmatch(_plain(text)) else as_number(text)


def rounded(text: str, rounding: Rounding) -> str:
    """Return a computed number with two decimals. ``rounding`` counts it unless only a floating-point error is lost."""
    value = Decimal(text)
    nearest = value.quantize(TWO_PLACES, ROUND_HALF_UP)
    result = format(nearest.normalize(), "f")
    if abs(value - nearest) > Decimal("1e-8"):
        rounding.add(text, result)
    return result


def rules(*, comma_decimals: bool, roundings: dict[str, Rounding]) -> dict[str, Callable[[str], str]]:
    """Return, for each column, the function that converts a cell to the stored text."""
    converters: dict[str, Callable[[str], str]] = {
        "name": name, "email": email, "roll_number": roll_number, "branch": label, "department": label,
    }  # fmt: skip
    for column in ("batch_year", "tenth_percent", "twelfth_percent", "diploma_percent", "cgpa", "active_backlogs"):
        roundings[column] = Rounding()
        converters[column] = NumberRule(comma_decimals, roundings[column], HIGHEST.get(column))
    converters["active_backlogs"] = partial(backlogs, as_number=converters["active_backlogs"])
    return converters
