"""Messages to students: why they may or may not apply for a drive."""

import re
from typing import Any

from contracts.policy.document import Cap
from services.api.policy.penalties import active_until
from services.api.policy.situation import Situation, named

# The placeholders that the message of a `deny` rule may contain, in braces.
PLACEHOLDERS = ("until", "company", "level", "category", "held")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

ALLOWED = "You may apply."
EXCEPTION_ALLOWS = "You may apply: an exception was granted."
EXCEPTION_DENIES = "You may not apply: an exception of the placement cell rules it out."


def filled(message: str, situation: Situation) -> str:
    """Return ``message`` with values for its placeholders. A value that is not on record becomes "not known"."""
    values = {
        "until": active_until(situation),
        "company": situation.drive.company,
        "level": situation.level(situation.drive),
        "category": situation.drive.category,
        "held": held(situation),
    }
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]) or "not known", message)


def held(situation: Situation) -> str:
    """Return a text that lists the offers that count, with their levels."""
    shown = []
    for offer in situation.counting:
        level = situation.level(offer)
        shown.append(f"{named(offer)} ({level})" if level else named(offer))
    return ", ".join(shown) or "none"


def closed(situation: Situation) -> str:
    return f"You have an offer that counts ({held(situation)}), and the policy closes the process then."


def no_alternative(situation: Situation) -> str:
    return f"You have an offer that counts ({held(situation)}), and this drive meets no rule that lets you apply again."


def cap(rule: Cap, yours: str) -> str:
    phase = f" in phase {rule.phase}" if rule.phase is not None else ""
    return f"You may have {rule.applications} applications{phase}, and you have {yours}."


def criteria(criterion: str, required: Any, actual: Any) -> str:
    yours = "not on record" if actual is None else actual
    return f"The drive asks for {criterion.replace('_', ' ')} {required}; yours: {yours}."


def undetermined(missing: tuple[str, ...]) -> str:
    return f"This cannot be decided yet. Not on record: {', '.join(missing) or 'facts of the drive'}."
