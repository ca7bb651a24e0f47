"""Compare names of branches, ignoring case, spacing and Unicode form. The SQL counterpart is ``branch_key``."""

import unicodedata
from collections.abc import Iterable

# Postgres maps each character to one character. This is the only one that Python maps to two.
DOTTED_I = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"
SIGMA, FINAL_SIGMA = "\N{GREEK SMALL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"


def branch_key(branch: str) -> str:
    """Return the form for comparison: lower case (one sigma), NFC, trimmed, with single spaces."""
    composed = unicodedata.normalize("NFC", " ".join(branch.split()))
    # Letter by letter, because str.lower() of a word chooses between the two sigmas.
    lowered = "".join("i" if letter == DOTTED_I else letter.lower() for letter in composed)
    return lowered.replace(FINAL_SIGMA, SIGMA)


def branch_keys(branches: Iterable[str] | None) -> list[str] | None:
    """Return the key of each of ``branches``; ``None`` (no criterion) for ``None``."""
    return None if branches is None else [branch_key(branch) for branch in branches]
