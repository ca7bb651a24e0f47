"""Check whether the first values below a header fit the header."""

import re
from collections.abc import Sequence
from itertools import pairwise

from services.api.students.import_files.cells import is_empty_marker

_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*%?")
_DEGREE = re.compile(
    r"b\.?\s*(?:tech|e|sc|com|a|arch|pharm(?:acy)?|des|voc|ed|ba|ca)\.?(?:\s*\(hons?\.?\))?|m\.?\s*(?:tech|e|sc|com|a|ba|ca|s|arch|"
    r"pharm(?:acy)?|des|ed|phil)\.?|bba|bca|mba|mca|pgdm|ph\.?\s*d\.?|diploma|ug|pg|undergraduate|postgraduate|"
    r"bachelor.*|master.*|(?:integrated|dual).*",
    re.IGNORECASE,
)
# A column with the header "X" or "12" counts as percentages only if most values are at least this.
LEAST_WEAK_PERCENT = 25


def column(samples: Sequence[Sequence[str]], index: int) -> list[str]:
    """Return the values at ``index`` that are not empty."""
    return [row[index].strip() for row in samples if index < len(row) and not is_empty_marker(row[index].strip())]


def are_numbers(values: Sequence[str]) -> bool:
    """Return whether at least half of ``values`` are numbers."""
    return 2 * sum(1 for value in values if _NUMBER.fullmatch(value)) >= len(values) > 0


def are_row_numbers(values: Sequence[str]) -> bool:
    """Return whether ``values`` count up by one from 0 or 1, as row numbers do, or there are none."""
    numbers = _numbers(values)
    return len(numbers) == len(values) and (not numbers or numbers[0] in (0, 1)) and _counts_up(numbers)


def _counts_up(numbers: Sequence[float]) -> bool:
    return all(after - before == 1 for before, after in pairwise(numbers))


def are_degrees(values: Sequence[str]) -> bool:
    """Return whether ``values`` are degrees such as B.Tech. ``ME`` alone means mechanical engineering."""
    return any(value.casefold() != "me" for value in values) and all(_DEGREE.fullmatch(value) for value in values)


def are_alike(samples: Sequence[Sequence[str]], first: int, second: int) -> bool:
    """Return whether two columns have the same values, ignoring case."""
    return all(_at(row, first) == _at(row, second) for row in samples)


def _at(row: Sequence[str], index: int) -> str:
    return row[index].strip().casefold() if index < len(row) else ""


def are_years(values: Sequence[str]) -> bool:
    """Return whether at least half of ``values`` are years of passing such as 2026."""
    return 2 * sum(1 for number in _numbers(values) if 1900 <= number <= 2200) >= len(values) > 0


def misfit(name: str, values: Sequence[str], *, weak: bool) -> str | None:
    """Return why ``values`` cannot be the column ``name``, else ``None``. ``weak``: the header alone is not enough."""
    problem = None
    if name == "batch_year" and not are_years(values):
        problem = "it holds no years of passing such as 2026"
    elif name == "email" and weak and 2 * sum(1 for value in values if "@" in value) < len(values):
        problem = "it holds no e-mail addresses"
    elif name == "cgpa" and _mostly_above(10, values):
        problem = "a CGPA is at most 10, and it holds percentages or marks"
    elif name.endswith("_percent"):
        plausible = sum(1 for number in _numbers(values) if LEAST_WEAK_PERCENT <= number <= 100)
        if _mostly_above(100, values):
            problem = "it holds marks above 100, not percentages"
        elif 2 * sum(1 for value in values if 0 < _number(value) <= 1) > len(values):
            problem = "it holds fractions of 1, not percentages; enter 85 for 85 %"
        elif weak and 2 * plausible < len(values):
            problem = "the header alone does not say what it is"
    return f"{problem}, for instance {values[0][:40]!r}" if problem and values else None


def _mostly_above(limit: int, values: Sequence[str]) -> bool:
    return 2 * sum(1 for number in _numbers(values) if round(number, 6) > limit) > len(values)


def _number(value: str) -> float:
    """Return a number without a percent sign, else 0."""
    return float(value.replace(",", ".")) if _NUMBER.fullmatch(value) and not value.endswith("%") else 0


def _numbers(values: Sequence[str]) -> list[float]:
    plain = [value.rstrip("% ").replace(",", ".") for value in values if _NUMBER.fullmatch(value)]
    return [float(value) for value in plain]
