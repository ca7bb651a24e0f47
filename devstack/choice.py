"""Choose the servers of a test run: given addresses, else containers, else embedded servers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.failures import StackFailure
from devstack.stack import Addresses, Stack, remove_abandoned

GIVEN = ("TEST_DATABASE_URL", "TEST_KAFKA_BOOTSTRAP_SERVERS")
KINDS = ("given", "containers", "embedded")


@contextmanager
def chosen(home: Path, *, durable: bool = True) -> Iterator[Addresses]:
    """Yield the addresses of the first available kind of servers, which run while the block lasts.

    1. The addresses in ``TEST_DATABASE_URL`` and ``TEST_KAFKA_BOOTSTRAP_SERVERS``, if both are set.
    2. Containers, if Docker answers.
    3. Embedded servers, whose data is in ``home`` and is deleted afterwards.

    ``DEVSTACK=embedded`` or ``DEVSTACK=containers`` forces one of the last two. ``durable`` false: the Postgres that is
    started here does not wait for the disk.
    """
    match kind():
        case "given":
            yield Addresses(*(os.environ[name] for name in GIVEN))
        case "containers":
            from devstack import containers

            with containers.running(durable=durable) as addresses:
                yield addresses
        case _:
            remove_abandoned(home.parent)
            with Stack(home, disposable=True, durable=durable) as stack:
                yield stack.addresses


def kind() -> str:
    """Return one of ``KINDS``. Raises ``StackFailure`` for contradictory environment variables."""
    if forced := os.environ.get("DEVSTACK"):
        if forced not in KINDS[1:]:
            raise StackFailure(f"DEVSTACK is {forced!r}: it can be {' or '.join(KINDS[1:])}")
        return forced
    present = [name for name in GIVEN if os.environ.get(name)]
    if len(present) == 1:
        raise StackFailure(f"{present[0]} is set alone: set {' and '.join(GIVEN)}, or neither")
    if present:
        return "given"
    from devstack.docker_engine import docker_answers

    return "containers" if docker_answers() else "embedded"
