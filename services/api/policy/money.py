"""Format amounts: rupees with Indian grouping, exact decimals without trailing zeros."""

from decimal import Decimal


def rupees(amount: int | None) -> str:
    """Return ``amount`` as in ₹12,00,000; "not on record" for ``None``."""
    if amount is None:
        return "not on record"
    digits, sign = str(abs(amount)), "-" if amount < 0 else ""
    head, tail = digits[:-3], digits[-3:]
    groups: list[str] = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return f"₹{sign}{','.join([*groups, tail])}"


def exact(number: Decimal | int | None) -> str:
    if number is None:
        return "not on record"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
