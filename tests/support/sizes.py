"""How large a test is: small by default, as the requirements name it with ``make test-full``."""

import os
import sys
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")
FULL = os.environ.get("PLACEWIRE_TEST_SIZE") == "full"

# How many examples a property is tried with where the test itself names no number.
settings.register_profile("small", max_examples=25, deadline=None, database=None)
settings.register_profile("full", max_examples=300, deadline=None, database=None)
settings.load_profile("full" if FULL else "small")

# Where a small size stands in for a full one, as file:line.
shortened: set[str] = set()


def sized(*, small: T, full: T) -> T:
    """``full`` when ``PLACEWIRE_TEST_SIZE=full``. What is small otherwise is counted at the end of the run."""
    if FULL:
        return full
    caller = sys._getframe(1)
    shortened.add(f"{caller.f_globals.get('__name__', '')}:{caller.f_lineno}")
    return small
