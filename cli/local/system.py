"""Run the Placewire processes with the servers of a ``devstack``."""

import asyncio
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

import asyncpg

from cli.local.settings import LOOPBACK, PROCESSES, Place, named
from devstack.browser_assets import ensure_assets
from devstack.ports import free_port
from devstack.stack import Stack

MODULES = {
    "api": "services.api",
    "eligibility": "services.eligibility",
    "exporter": "services.exporter",
    "maintenance": "services.maintenance",
    "relay": "chassis.messaging.relay_process",
    "console": "services.console",
}
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


def place_of(
    stack: Stack,
    database: str,
    ports: Mapping[str, int],
    secrets: dict[str, str],
    given: Mapping[str, str] = MappingProxyType({}),
) -> Place:
    """Return the addresses for a system on a started ``stack``. A port that is in use is replaced by a free port."""
    return Place(
        database_url=named(stack.addresses.database_url, database),
        kafka_bootstrap_servers=stack.addresses.kafka_bootstrap_servers,
        ports={name: free_port(ports.get(name)) for name in PROCESSES},
        uploads=stack.home / "uploads",
        secrets=secrets,
        given=given,
        assets=ensure_assets(),
    )


def prepare_database(place: Place, server_url: str) -> None:
    """Create, migrate and seed the database. Idempotent."""
    from chassis.postgres.database import Database
    from cli.sample import seeding
    from migrations import runner

    async def work() -> None:
        await _make_database(server_url, place.database_url.rpartition("/")[2])
        await runner.migrate(place.database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
        database = Database(place.settings("api")["DATABASE_URL"], pool_size=1, application_name="placewire-cli")
        try:
            await seeding.seed(database)
        finally:
            await database.close()

    asyncio.run(work())


def launch(stack: Stack, place: Place) -> None:
    """Start all Placewire processes together and return when all are ready. Raises ``NotReady``."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    started = [
        stack.launch(
            name,
            [sys.executable, "-m", MODULES[name]],
            env=inherited | place.settings(name),
            url=f"http://{LOOPBACK}:{place.ports[name]}/readyz",
        )
        for name in PROCESSES
    ]
    for process in started:
        process.wait_ready()


def all_running(stack: Stack) -> bool:
    """Return whether both servers and all Placewire processes run."""
    return stack.running and {process.name for process in stack.record.processes if process.running} >= set(PROCESSES)


async def _make_database(url: str, name: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            await admin.execute(f'CREATE DATABASE "{name}"')
    finally:
        await admin.close()
