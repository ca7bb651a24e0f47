"""Which servers tests use: given addresses, else containers, else the embedded ones."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.stack import Addresses, Stack


@contextmanager
def chosen(home: Path) -> Iterator[Addresses]:
    """The first that is there, running while the block lasts.

    ``TEST_DATABASE_URL`` with ``TEST_KAFKA_BOOTSTRAP_SERVERS`` give addresses; ``DEVSTACK=embedded`` or
    ``DEVSTACK=containers`` decides between the others. ``home`` is where the embedded ones keep their data.
    """
    database_url = os.environ.get("TEST_DATABASE_URL")
    bootstrap = os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS")
    if database_url and bootstrap:
        yield Addresses(database_url, bootstrap)
        return
    if _containers():
        from devstack import containers

        with containers.running() as addresses:
            yield addresses
        return
    with Stack(home).running() as addresses:
        yield addresses


def _containers() -> bool:
    forced = os.environ.get("DEVSTACK")
    if forced:
        return forced == "containers"
    from devstack.containers import docker_answers

    return docker_answers()
