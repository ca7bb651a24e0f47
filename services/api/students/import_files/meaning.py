"""What a header may be, and how certain that is."""

from dataclasses import dataclass
from enum import Enum


class Certainty(Enum):
    """How well a header fits. ``WEAK``: only if its values fit. ``ASK``: ask, unless another header is sure."""

    SURE = "sure"
    WEAK = "weak"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Meaning:
    """``kind``: a column of the import, a part of a name (``first_name``, …), a branch (``course``, …), ``password``.

    ``reason``: why the meaning is uncertain. ``numeric_only``: it only applies to columns of numbers. ``plain``: the
    header has no qualifying words, so it is preferred to others. ``rival``: if the caller must be asked, only a
    ``plain`` header makes that unnecessary. ``also``: other columns that the header may be.
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
        """Return the column that a question about the header names."""
        return {"course": "branch", "stream": "branch"}.get(self.kind, self.kind)
