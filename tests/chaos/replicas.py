"""Two replicas of every process on loopback, which reach the servers through proxies that tests can break."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

from devstack.kafka import Kafka
from devstack.ports import LOOPBACK, free_port
from devstack.postgres import Postgres
from migrations import runner
from tests.support.system import System
from tests.support.tcp_proxy import TcpProxy

WORKERS = ("eligibility", "exporter", "maintenance")
KINDS = ("api", "relay", *WORKERS)
REPLICAS = tuple(f"{kind}{number}" for number in (1, 2) for kind in KINDS)
DATABASE = "placewire"


@dataclass
class Replicas:
    """The servers, and the ``system`` of our processes. The processes reach the servers only through the networks."""

    postgres: Postgres
    kafka: Kafka
    database_network: TcpProxy
    kafka_network: TcpProxy
    system: System

    @property
    def database_url(self) -> str:
        """Return the superuser's address, which does not go through the proxy."""
        return _named(self.postgres.dsn, DATABASE)

    @property
    def api_urls(self) -> list[str]:
        return [f"http://{LOOPBACK}:{self.system.ports[name]}" for name in ("api1", "api2")]

    async def leading_relay(self) -> str:
        """Return the name of the leading relay, or of the first relay if neither reports that it leads."""
        async with httpx.AsyncClient(timeout=2) as client:
            for name in ("relay1", "relay2"):
                try:
                    answer = await client.get(f"http://{LOOPBACK}:{self.system.ports[name]}/readyz")
                except httpx.HTTPError:
                    continue
                if answer.json().get("leading"):
                    return name
        return "relay1"

    async def start(self, name: str, *, wait: bool = True) -> None:
        await asyncio.to_thread(self.system.start, name, wait=wait)

    async def start_all(self) -> None:
        for name in REPLICAS:
            await self.start(name, wait=False)
        await self.until_ready()

    async def until_ready(self) -> None:
        for name in REPLICAS:
            await asyncio.to_thread(self.system.processes[name].wait_ready, timeout_s=60)

    async def revive(self) -> None:
        """End all faults: heal networks, resume suspended processes, start stopped ones. Wait until all are ready."""
        self.database_network.heal()
        self.kafka_network.heal()
        await asyncio.to_thread(self.postgres.resume)
        await asyncio.to_thread(self.postgres.start)
        await asyncio.to_thread(self.kafka.resume)
        await asyncio.to_thread(self.kafka.start)
        for name in REPLICAS:
            process = self.system.processes[name]
            process.resume()
            if not process.running:
                await self.start(name, wait=False)
        await self.until_ready()


@contextmanager
def replicas(folder: Path) -> Iterator[Replicas]:
    """Start servers with a migrated database below ``folder``. Yield them with a system that has no processes yet.

    An existing database in ``folder`` is used. Everything is stopped when the block ends.
    """
    with ExitStack() as undo:
        postgres = Postgres(folder / "postgres")
        undo.callback(postgres.kill)
        postgres.start()
        broker_port = free_port()
        kafka_network = undo.enter_context(TcpProxy(broker_port))
        kafka = Kafka(folder / "kafka", broker_port, advertised_port=kafka_network.port)
        undo.callback(kafka.kill)
        kafka.start()
        asyncio.run(_prepare(postgres.dsn))
        database_network = undo.enter_context(TcpProxy(postgres.port))
        ports = {name: free_port() for name in REPLICAS}
        services = {kind: undo.enter_context(TcpProxy(ports[f"{kind}1"], ports[f"{kind}2"])) for kind in WORKERS}
        system = System(
            _through(_named(postgres.dsn, DATABASE), database_network),
            kafka_network.address,
            folder,
            {
                **{f"{kind.upper()}_URL": f"http://{proxy.address}" for kind, proxy in services.items()},
                "LOG_LEVEL": "warning",
                "JOB_LEASE_S": "6",
                "DATABASE_POOL_SIZE": "8",
                "SHUTDOWN_GRACE_S": "10",
            },
            ports=ports,
        )
        undo.callback(system.stop_all)
        yield Replicas(postgres, kafka, database_network, kafka_network, system)


async def _prepare(dsn: str) -> None:
    admin = await asyncpg.connect(dsn)
    try:
        if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE):
            await admin.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await admin.close()
    await runner.migrate(_named(dsn, DATABASE).replace("postgresql://", "postgresql+asyncpg://", 1))


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _through(url: str, network: TcpProxy) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{network.address}"))
