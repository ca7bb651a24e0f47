"""Names of branches, which people write in their own ways. The readable twin of SQL's ``branch_key``."""

import unicodedata

# Postgres maps each character to one. This is the only one that Python maps to two.
_DOTTED_I = "\u0130"


def branch_key(branch: str) -> str:
    """Return what is compared: lower case, NFC, trimmed, with single spaces inside."""
    composed = unicodedata.normalize("NFC", " ".join(branch.split()))
    # Letter by letter: str.lower() writes a Greek sigma in another way at the end of a word, and so do people.
    return "".join("i" if letter == _DOTTED_I else letter.lower() for letter in composed).replace("ς", "σ")
