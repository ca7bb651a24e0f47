"""Separate the name of a column from the rest of its header: examples, dates, and the scale of a mark."""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*"
_YEARS = r"(?:19|20)\d{2}(?:\s*(?:-|/|\u2013|to)\s*(?:(?:19|20)\d{2}|\d{2}))?"
_EXAMPLE = re.compile(
    r"[(\[]\s*(?:e\.?\s?g\b\.?|ex\b\.?|examples?\b|for example|like|such as)[^)\]]*[)\]]?", re.IGNORECASE
)
_DATE = re.compile(
    rf"\b\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}\b|\b\d{{1,2}}(?:st|nd|rd|th)?[\s-]+{_MONTH}\.?,?[\s-]*\d{{2,4}}\b|"
    rf"\b{_MONTH}\.?[\s,'-]*(?:19|20)\d{{2}}\b",
    re.IGNORECASE,
)
_BATCH_OF_YEARS = re.compile(rf"(?<=batch)[\s(:-]*{_YEARS}|\b{_YEARS}(?=[\s)-]*batch)", re.IGNORECASE)
_NUMBER = r"(?P<{}>\d{{1,4}}(?:\.\d+)?)"
_SCALE = re.compile(
    r"(?:\bout\s*of|\bmax(?:imum)?(?:\s*marks?)?\s*[:=-]?|(?<=[A-Za-z\s(])/)\s*"
    + _NUMBER.format("limit")
    + r"(?![\w.])"
    r"|\b(?:on\s+)?" + _NUMBER.format("points") + r"[\s-]*(?:points?|pt|scale)\b(?:\s*scale\b)?"
    r"|\bscale\s*(?:of|:|-)?\s*(?:[01]\s*(?:-|to)\s*)?" + _NUMBER.format("scale") + r"(?![\w.])"
    r"|\(\s*" + _NUMBER.format("alone") + r"\s*\)",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\([^()]*\)?|\[[^\[\]]*\]?")
_CLASS = re.compile(r"class|std|standard", re.IGNORECASE)
# "CGPA (6)" is a CGPA up to the sixth semester. A larger number in brackets is the highest mark.
_SEMESTERS = range(1, 10)


@dataclass(frozen=True, slots=True)
class HeaderText:
    """``text``: the header without examples, dates and its scale. ``scale``: the highest mark that it names."""

    text: str
    scale: Decimal | None


def header_text(header: str) -> HeaderText:
    """Return the part of ``header`` that says what the column is, and the scale."""
    text = _EXAMPLE.sub(" ", unicodedata.normalize("NFKC", header))
    text = _BATCH_OF_YEARS.sub(" ", _DATE.sub(" ", text))
    match = _SCALE.search(text)
    if match is None:
        return HeaderText(text, None)
    scale = Decimal(next(number for number in match.groups() if number))
    if (match["alone"] and (scale in _SEMESTERS or scale > 1000)) or (scale in (10, 12) and _CLASS.search(text)):
        return HeaderText(text, None)
    return HeaderText(f"{text[: match.start()]} {text[match.end() :]}", scale)


def without_brackets(text: str) -> tuple[str, str]:
    """Return ``text`` without its parts in brackets, and these parts."""
    return _BRACKETS.sub(" ", text), " ".join(_BRACKETS.findall(text))
