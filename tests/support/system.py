"""Run the real processes on loopback with given servers, for end-to-end tests and fault tests."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from chassis.tokens import Principal, issue_user_token
from contracts.users import Role
from devstack.answers import kafka_answers
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process
from tests.support.eventually import eventually
from tests.support.fork_server import fork_server

SECRET = "only-for-tests-only-for-tests-only-for-tests"
ROOT = Path(__file__).resolve().parents[2]
HEAD_ID = 900_001
ADMITS_WITHIN_S = 20
NO_KAFKA = f"{LOOPBACK}:9"
CONSUMERS = ("eligibility", "exporter", "maintenance")
LEAVES_WITHIN_S = 3
# Settings with which only a test requests a refresh, apart from one for the last slot when maintenance starts.
QUIET_CLOCK = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "0 0 1 1 *", "REFRESH_AFTER_CHANGE_S": "0"}
MODULES = {
    "api": "services.api",
    "eligibility": "services.eligibility",
    "exporter": "services.exporter",
    "maintenance": "services.maintenance",
    "relay": "chassis.messaging.relay_process",
    "console": "services.console",
}


def as_role(database_url: str, role: str) -> str:
    """Return the superuser's address with another role, such as ``placewire_api``."""
    return database_url.replace("//postgres@", f"//{role}@").replace("//test:test@", f"//{role}@")


def token(role: Role, user_id: int = HEAD_ID) -> str:
    return issue_user_token(Principal(user_id, role, "Somebody", "somebody@college.edu", 0), SECRET)


def bearer(role: Role = Role.HEAD, user_id: int = HEAD_ID) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role, user_id)}"}


def kind_of(name: str) -> str:
    """Return the kind of the process ``name``, such as ``api`` for ``api2``."""
    return name.rstrip("0123456789")


@dataclass
class System:
    """A system of processes. The test starts those that it needs: ``start("api")``, ``start("relay")`` and so on."""

    database_url: str
    kafka_bootstrap_servers: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    # Names of processes that were started with other settings than the system's.
    special: set[str] = field(default_factory=set)

    def start(self, name: str, *, wait: bool = True, **settings: str) -> Process:
        """Start one of ``MODULES``. ``api2`` and so on are further replicas with other ports."""
        env = self.environment(name, **settings)
        process = fork_server().start(
            name, MODULES[kind_of(name)], log=self.folder / f"{name}.log", env=env, url=self.ready_url(name)
        )
        self.processes[name] = process
        (self.special.add if settings else self.special.discard)(name)
        if wait:
            self.wait_ready(name)
        return process

    def environment(self, name: str, **settings: str) -> dict[str, str]:
        """Return the settings of the process."""
        port = self.ports.setdefault(name, free_port())
        for service in ("api", "eligibility", "exporter", "maintenance"):
            self.ports.setdefault(service, free_port())
        return {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")},
            "PYTHONPATH": str(ROOT),
            "ENVIRONMENT": "development",
            "PORT": str(port),
            "DATABASE_URL": as_role(self.database_url, f"placewire_{kind_of(name)}"),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "JWT_SECRET": SECRET,
            "INTERNAL_SECRET": SECRET,
            "STORAGE_URL": (self.folder / "uploads").as_uri(),
            "ELIGIBILITY_URL": f"http://{LOOPBACK}:{self.ports['eligibility']}",
            "EXPORTER_URL": f"http://{LOOPBACK}:{self.ports['exporter']}",
            "MAINTENANCE_URL": f"http://{LOOPBACK}:{self.ports['maintenance']}",
            "API_URL": f"http://{LOOPBACK}:{self.ports['api']}",
            "CONSOLE_SECRET": SECRET,
            "LOG_FORMAT": "text",
            **self.settings,
            **settings,
        }

    def ready_url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[name]}/readyz"

    def wait_ready(self, name: str) -> None:
        """Wait until the process is ready. An API must also accept callers who have no account.

        The API refuses them while it looks up every caller in the database, until it receives notifications.
        """
        self.processes[name].wait_ready()
        if kind_of(name) != "api":
            return
        url = f"http://{LOOPBACK}:{self.ports[name]}/api/job-domains"
        deadline = time.monotonic() + ADMITS_WITHIN_S
        while (answer := httpx.get(url, headers=bearer(user_id=HEAD_ID - 1), timeout=ADMITS_WITHIN_S)).is_error:
            assert time.monotonic() < deadline, f"{answer.text}\n{self.processes[name].log_tail()}"
            time.sleep(0.2)

    def start_together(self, *names: str, **settings: str) -> None:
        """Start several processes at the same time, and wait until all are ready."""
        for name in names:
            self.start(name, wait=False, **settings)
        for name in names:
            self.wait_ready(name)

    def start_all(self) -> None:
        self.start_together("eligibility", "relay", "api")

    def revive(self, *names: str) -> None:
        """Start and stop processes so that exactly ``names`` run, each with the settings of the system."""
        for name, process in self.processes.items():
            process.resume()
            if name not in names or name in self.special:
                process.stop(LEAVES_WITHIN_S)
        stopped = [name for name in names if name not in self.processes or not self.processes[name].running]
        self.start_together(*stopped)

    def stop_all(self) -> None:
        """End every process. Consumers first leave their Kafka group, or the next consumers would wait 10 s to join."""
        for process in self.processes.values():
            process.resume()
        consumers = [process for name, process in self.processes.items() if kind_of(name) in CONSUMERS]
        if any(process.running for process in consumers) and kafka_answers(self.kafka_bootstrap_servers):
            with ThreadPoolExecutor(len(consumers)) as threads:
                list(threads.map(lambda process: process.stop(LEAVES_WITHIN_S), consumers))
        for process in self.processes.values():
            process.kill()

    @asynccontextmanager
    async def client(self, name: str = "api", **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a client with the token of a head. For another role: ``headers=bearer(Role.STUDENT, id)``."""
        url = f"http://{LOOPBACK}:{self.ports[name]}"
        async with httpx.AsyncClient(base_url=url, headers=bearer(), timeout=60, **options) as client:
            yield client

    async def until_bus_is(self, state: str, *services: str, within_s: float = 60) -> None:
        """Wait until the API's breakers for ``services`` are ``closed`` (Kafka works) or ``open``.

        The default for ``services`` is eligibility.
        """

        async def seen() -> bool:
            async with self.client() as client:
                bus: dict[str, str] = (await client.get("/readyz")).json()["bus"]
                return {bus[service] for service in services or ("eligibility",)} == {state}

        await eventually(seen, within_s=within_s)

    async def until_bus_is_trusted(self) -> None:
        await self.until_bus_is("closed")

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{process.log_tail()}" for name, process in self.processes.items())


@contextmanager
def running(database_url: str, kafka_bootstrap_servers: str, folder: Path, **settings: str) -> Iterator[System]:
    """Yield a system without processes. All processes that are started end with the block."""
    system = System(database_url, kafka_bootstrap_servers, folder, settings)
    try:
        yield system
    finally:
        system.stop_all()
