"""How large a test is: small by default, as the requirements name it with ``make test-full``."""

import os

FULL = os.environ.get("PLACEWIRE_TEST_SIZE") == "full"


def sized(*, small: int, full: int) -> int:
    """``full`` when ``PLACEWIRE_TEST_SIZE=full``."""
    return full if FULL else small
