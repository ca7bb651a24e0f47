"""Names of branches, which people write in their own ways. The readable twin of SQL's ``branch_key``."""

import unicodedata
from collections.abc import Iterable

# Postgres maps each character to one. This is the only one that Python maps to two.
DOTTED_I = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"
SIGMA, FINAL_SIGMA = "\N{GREEK SMALL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"


def branch_key(branch: str) -> str:
    """Return what is compared: lower case (one sigma), NFC, trimmed, with single spaces inside."""
    composed = unicodedata.normalize("NFC", " ".join(branch.split()))
    # Letter by letter: str.lower() looks at a whole word to choose its sigma.
    lowered = "".join("i" if letter == DOTTED_I else letter.lower() for letter in composed)
    return lowered.replace(FINAL_SIGMA, SIGMA)


def branch_keys(branches: Iterable[str] | None) -> list[str] | None:
    """Return the key of each of ``branches``; ``None`` for no criterion."""
    return None if branches is None else [branch_key(one) for one in branches]
