"""Interpret a header by its words alone. ``layout`` checks the values."""

import re
from decimal import Decimal

from services.api.students.import_files.header_rules import A_TERM, RULES, UNKNOWN_MARK
from services.api.students.import_files.header_text import header_text, without_brackets
from services.api.students.import_files.header_words import words_of
from services.api.students.import_files.meaning import Certainty, Meaning
from services.api.students.import_files.vocabulary import (
    DEGREES,
    FILLER,
    MAXIMUM,
    NOTES,
    OTHER_EMAIL,
    OTHER_NUMBER,
    OTHERS,
    SCHOOL,
    Words,
    word_set,
)  # fmt: skip

_A_TERM = re.compile(r"[1-5]\s*-\s*[12]|(?:I|II|III|IV)\s*-\s*(?:I|II)")
HIGHEST = {"cgpa": 10, "tenth_percent": 100, "twelfth_percent": 100, "diploma_percent": 100}
# Columns whose headers often list values or explain them in brackets: "Branch (CSE/ECE)".
EXPLAINED = ("branch", "stream", "course", "department", "name", "email", "roll_number", "batch_year")
QUALIFIERS = (
    OTHERS | SCHOOL | OTHER_EMAIL | OTHER_NUMBER | word_set("10 12 x xii alias institute college university place city")
)


def meaning_of(header: str) -> Meaning | None:
    """Return what ``header`` may be, or ``None`` if it is not imported."""
    parsed = header_text(header)
    words = _words(parsed.text)
    if not words or words & OTHERS:
        return None
    if _A_TERM.fullmatch(parsed.text.strip()):
        return A_TERM
    meaning = _by_rules(words)
    if meaning is None or not meaning.kind or meaning.certainty is Certainty.ASK:
        outside, inside = without_brackets(parsed.text)
        main = _by_rules(_words(outside))
        if main is not None and main.kind in EXPLAINED and not _words(inside) & QUALIFIERS:
            meaning = main
    if meaning is None or not meaning.kind:
        return None
    if meaning.column in HIGHEST and words & MAXIMUM:
        return None
    return _on_scale(meaning, parsed.scale)


def meaning_of_numbers(header: str) -> Meaning | None:
    """Return what a header such as "UG" or "Graduation" means above numbers other than years, else ``None``."""
    words = _words(header_text(header).text)
    return Meaning("cgpa", Certainty.ASK, UNKNOWN_MARK, numeric_only=True) if _names_a_degree(words) else None


def meaning_of_years(header: str) -> Meaning | None:
    """Return what a header such as "Graduation" means above years, else ``None``."""
    words = _words(header_text(header).text)
    return Meaning("batch_year", Certainty.WEAK) if _names_a_degree(words) else None


def _names_a_degree(words: Words) -> bool:
    return bool(words & DEGREES - {"college", "university"}) and words <= DEGREES | FILLER


def _words(text: str) -> Words:
    words = frozenset(words_of(text))
    return words - NOTES or words


def _by_rules(words: Words) -> Meaning | None:
    return next((meaning for rule in RULES if (meaning := rule(words)) is not None), None)


def _on_scale(meaning: Meaning, scale: Decimal | None) -> Meaning:
    """Return ``meaning``. If the header names another highest mark than the column has, the caller must be asked."""
    highest = HIGHEST.get(meaning.column)
    if scale is None or highest is None or scale == highest or meaning.certainty is Certainty.ASK:
        return meaning
    stored = "a CGPA is stored out of 10" if meaning.column == "cgpa" else "a percentage is stored"
    return Meaning(meaning.kind, Certainty.ASK, f"its highest mark is {scale}, and {stored}")
