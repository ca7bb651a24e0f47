"""Compare attributes of students, ignoring spelling variants of text."""

from decimal import Decimal
from typing import Any

from contracts.branches import branch_key


def same_text(one: str, other: str) -> bool:
    return branch_key(one) == branch_key(other)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values are equal. A number and its text are equal, ``true`` equals only ``true``."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other
    return same_text(str(one), str(other))
