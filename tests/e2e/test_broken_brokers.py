"""A broker that is there and does not work counts as down: silent, slow, cut off, or out of disk."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import asyncpg
import httpx
import pytest

from devstack.kafka import Kafka
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import RESULT_EVENTS, publish, settled, until_kafka_wakes
from tests.support.system import System, running
from tests.support.tcp_proxy import TcpProxy

Owner = asyncpg.Connection
OPENS_WITHIN_S = 3.5
MIB = 1024 * 1024
MAY_SKIP = "PLACEWIRE_TEST_SKIP_FULL_DISK"
# Slower than a probe may be, as fast as a request may be.
DELAY_S = 2.5
Break = Callable[[TcpProxy], None]
BROKEN: list[Break] = [TcpProxy.silence, lambda proxy: proxy.slow(DELAY_S), TcpProxy.cut]


@pytest.fixture
def proxy(separate_kafka: Kafka) -> Iterator[TcpProxy]:
    """Between the services and a running broker."""
    with TcpProxy(separate_kafka.port) as between:
        separate_kafka.advertised_port = between.port
        separate_kafka.start()
        yield between


async def test_a_broker_that_is_silent_counts_as_down(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    """Its connections stay open."""
    async with live.client() as client:
        own_kafka.suspend()
        asked = await work_goes_on(live, client, live_owner)
        own_kafka.resume()
        await by_kafka_again(live, client)
    for job_id in asked:
        assert await live_owner.fetchval(RESULT_EVENTS, job_id) == 1


@pytest.mark.full_only
@pytest.mark.timeout(240)
async def test_a_broker_that_is_silent_slow_or_cut_off_counts_as_down(
    proxy: TcpProxy, database_url: str, tmp_path: Path, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 200)
    with running(database_url, proxy.address, tmp_path, JOB_LEASE_S="2") as behind:
        behind.start_all()
        await behind.until_bus_is_trusted()
        async with behind.client() as client:
            for broken in BROKEN:
                broken(proxy)
                asked = await work_goes_on(behind, client, owner)
                proxy.heal()
                await by_kafka_again(behind, client)
                for job_id in asked:
                    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1


async def work_goes_on(system: System, client: httpx.AsyncClient, owner: "Owner[asyncpg.Record]") -> list[str]:
    """The bus was broken this very moment: the breaker opens in time, and jobs from before and after it are done."""
    began = monotonic()
    before = await publish(client)
    await system.until_bus_is("open", within_s=OPENS_WITHIN_S)
    after = await publish(client)
    assert (after["job"]["delivery"], after["job"]["state"]) == ("http", "succeeded")
    assert (await settled(owner, before["job"]["id"], within_s=12))["state"] == "succeeded"
    assert monotonic() - began < 20
    return [before["job"]["id"], after["job"]["id"]]


async def by_kafka_again(system: System, client: httpx.AsyncClient) -> None:
    await system.until_bus_is("closed")
    await until_kafka_wakes(client)


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    """A file system of so many MiB at ``folder``. Where it may not be mounted the test fails, or is skipped if it may
    be: ``MAY_SKIP`` is 1."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        said = f"A FULL DISK WAS NOT TRIED: no file system may be mounted here ({mounted.stderr.decode().strip()})"
        if os.environ.get(MAY_SKIP) == "1":
            pytest.skip(said)
        pytest.fail(f"{said}; {MAY_SKIP}=1 lets this pass")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.full_only
@pytest.mark.timeout(240)
async def test_a_broker_out_of_disk_counts_as_down(
    separate_kafka: Kafka, database_url: str, tmp_path: Path, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 200)
    with small_disk(separate_kafka.home, 256):
        try:
            separate_kafka.start()
            with running(database_url, separate_kafka.bootstrap_servers, tmp_path, JOB_LEASE_S="2") as system:
                system.start_all()
                await system.until_bus_is_trusted()
                await full_and_emptied(system, separate_kafka, owner)
        finally:
            separate_kafka.kill()


async def full_and_emptied(system: System, kafka: Kafka, owner: "Owner[asyncpg.Record]") -> None:
    ballast = kafka.home / "ballast"
    asked = []
    async with system.client() as client:
        fill(ballast)

        async def open_() -> bool:
            # Its last pages still hold a few records; a publication needs several.
            asked.append((await publish(client))["job"]["id"])
            return bool((await client.get("/readyz")).json()["bus"]["eligibility"] == "open")

        await eventually(open_, within_s=30)
        after = await publish(client)
        assert (after["job"]["delivery"], after["job"]["state"]) == ("http", "succeeded")
        for job_id in asked:
            assert (await settled(owner, job_id, within_s=15))["state"] == "succeeded"
        ballast.unlink()
        await asyncio.to_thread(kafka.start)  # a broker without disk ends itself
        await by_kafka_again(system, client)
    for job_id in asked:
        assert await owner.fetchval(RESULT_EVENTS, job_id) == 1


def fill(path: Path) -> None:
    """Fill the disk."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    os.write(file.fileno(), b"x" * size)
            except OSError:
                continue
