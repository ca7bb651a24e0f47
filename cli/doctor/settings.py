"""Check the environment: secrets, storage and the version of Python."""

import sys
from collections.abc import AsyncIterator, Mapping

from chassis.storage import Storage, StorageUnusable
from cli.doctor.finding import Finding, ok, skipped, wrong

MIN_PYTHON = (3, 11)
MIN_SECRET = 32
# A random secret of 32 characters has at least this many different characters.
MIN_LETTERS = 10
SAMPLES = ("only-for-tests", "changeme", "change-me", "secret", "example", "password", "placewire")
MAKE_ONE = "make one: python -c 'import secrets; print(secrets.token_urlsafe(36))'"


async def versions() -> AsyncIterator[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < MIN_PYTHON:
        yield wrong("versions", f"Python is {found}", "use Python 3.11 or newer")
    else:
        yield ok("versions", f"Python {found}")


async def secrets(environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Check the secrets. The messages contain no part of a secret."""
    given = {name: environment[name] for name in ("JWT_SECRET", "INTERNAL_SECRET") if environment.get(name)}
    if not given:
        message = "neither JWT_SECRET nor INTERNAL_SECRET is set here"
        yield skipped("secrets", message, "run this with the API's settings to check them")
        return
    found = [wrong("secrets", f"{name} {fault}", MAKE_ONE) for name, value in given.items() if (fault := _fault(value))]
    if len(set(given.values())) < len(given):
        found.append(wrong("secrets", "JWT_SECRET and INTERNAL_SECRET are the same", MAKE_ONE))
    for finding in found or [ok("secrets", f"{' and '.join(given)}: long enough, random, different")]:
        yield finding


def _fault(value: str) -> str | None:
    if len(value) < MIN_SECRET:
        return f"is too short: {len(value)} characters of at least {MIN_SECRET}"
    if any(sample in value.lower() for sample in SAMPLES):
        return "is a public sample"
    if len(set(value)) < MIN_LETTERS:
        return "is not random: it has few different characters"
    return None


async def storage(environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    if not (url := environment.get("STORAGE_URL")):
        yield skipped("storage", "STORAGE_URL is not set here", "run this with the API's settings to check it")
        return
    try:
        await Storage(url).check()
    except StorageUnusable as error:
        yield wrong("storage", str(error), "give API, exporter and maintenance the same storage, with write access")
    else:
        yield ok("storage", f"{url.partition('?')[0]} can be written to")
