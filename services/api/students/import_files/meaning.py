"""What a header may be, and how certain that is."""

from dataclasses import dataclass
from enum import Enum


class Certainty(Enum):
    """How well a header fits. ``WEAK``: only if the values fit, too. ``ASK``: asked, unless another header is sure."""

    SURE = "sure"
    WEAK = "weak"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Meaning:
    """``kind``: a column of the import, a part of a name (``first_name``, …), a branch (``course``, …), ``password``.

    ``column``: the column that a question about the header would be about. ``plain``: nothing in the header qualifies
    it, so it is preferred to headers that fit and are qualified. ``rival``: of a header that is asked, that only a
    ``plain`` header is preferred to it.
    """

    kind: str
    certainty: Certainty = Certainty.SURE
    reason: str = ""
    numeric_only: bool = False
    plain: bool = False
    rival: bool = False
    also: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        return {"course": "branch", "stream": "branch"}.get(self.kind, self.kind)
