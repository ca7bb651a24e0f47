"""Choose the size of a test: small by default, the size in the requirements with ``make test-full``."""

import os
import sys
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")
FULL = os.environ.get("PLACEWIRE_TEST_SIZE") == "full"

# How many examples a property test uses, unless the test sets a number.
settings.register_profile("small", max_examples=25, deadline=None, database=None)
settings.register_profile("full", max_examples=300, deadline=None, database=None)
settings.load_profile("full" if FULL else "small")

# The places where a small size replaces a full one, as module:line.
shortened: set[str] = set()


def sized(*, small: T, full: T) -> T:
    """Return ``full`` if ``PLACEWIRE_TEST_SIZE=full``, else ``small``. Small sizes are counted in the run's report."""
    if FULL:
        return full
    caller = sys._getframe(1)
    shortened.add(f"{caller.f_globals.get('__name__', '')}:{caller.f_lineno}")
    return small
