"""Normalise headers to words, ignoring units, brackets, punctuation, case and Unicode form."""

import re
import unicodedata
from functools import cache

# An unknown word such as "noofbacklogs" is divided into these, if possible.
_KNOWN = """
    active address admission aggregate all any arrear arrears as atkt atkts average avg backlog backlogs back
    batch board branch cgpa cgpi class code college count course cpi cumulative current date degree department
    dept diploma discipline email enrollment enrolment enroll exam family father first full given gpa grad
    graduation graduating guardian hall higher history hsc hssc id in inactive institute inter intermediate kt kts last
    live mail major mark marks matric matriculation matriculate middle mother name no nr num number of official
    ogpa out paper papers parent pass passing passed passout password pending percent percentage perc personal
    plus point points polytechnic primary prn program programme puc pwd reg registration register regn roll score
    secondary semester senior sgpa spi specialisation specialization ssc sslc standing std stream student students
    subjects sur surname tenth ticket till passive total trade twelfth twelveth ug university until usn year yop
"""
KNOWN = frozenset(_KNOWN.split())
PLUS_TWO = "plustwo"

_ABBREVIATION = re.compile(r"\b(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?")
_POSSESSIVE = re.compile(r"['\u2019]s\b", re.IGNORECASE)
_ORDINAL = re.compile(r"\d(?:st|nd|rd|th)", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")
_PLUS_TWO = re.compile(r"(?:\b10\s*)?\+\s*2\b|\b10\s*plus\s*2\b|\bplus\s*(?:2|two)\b", re.IGNORECASE)
_E_MAIL = re.compile(r"\be[\s_-]+mail", re.IGNORECASE)
_PLURAL = re.compile(r"(?<=[a-z])\(s\)", re.IGNORECASE)
_APART = re.compile(r"(?<=\d)\s+(?=(?:st|nd|rd|th)\b)|(?<=\bre)[\s-]+(?=appear)|(?<=%)\s*age\b", re.IGNORECASE)
_WORD = re.compile(r"\d+(?:st|nd|rd|th)|\d+|[^\W\d_]+")


def words_of(header: str) -> list[str]:
    """Return the words of ``header`` in lower case. ``%`` becomes ``percent``, ``10+2`` becomes ``plustwo``."""
    text = unicodedata.normalize("NFKC", header)
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = _APART.sub("", _PLURAL.sub("s", _POSSESSIVE.sub("", text)))
    text = _ABBREVIATION.sub(lambda match: match[0].replace(".", "") + " ", text)
    text = _PLUS_TWO.sub(f" {PLUS_TWO} ", text).replace("%", " percent ")
    text = _ORDINAL.sub(lambda match: match[0].lower(), text)
    parts = (part for word in _WORD.findall(_E_MAIL.sub("email", text)) for part in _camel_parts(word))
    return [part for word in parts for part in _divided(word)]


def _camel_parts(word: str) -> list[str]:
    """Split camel case: ``liveBacklogs`` into ``live``, ``backlogs``. A known word such as ``YoP`` stays whole."""
    return [word.casefold()] if word.casefold() in KNOWN else _CAMEL.sub(" ", word).casefold().split()


@cache
def _divided(word: str) -> tuple[str, ...]:
    """Return the fewest known words that make up ``word``, or ``word`` itself if it cannot be divided."""
    if word in KNOWN or len(word) > 40:
        return (word,)
    best: list[tuple[str, ...] | None] = [(), *([None] * len(word))]
    for end in range(2, len(word) + 1):
        for start in range(end - 1):
            before = best[start]
            if before is not None and word[start:end] in KNOWN:
                parts = (*before, word[start:end])
                current = best[end]
                best[end] = parts if current is None or len(parts) < len(current) else current
    return best[-1] or (word,)
