"""A broker that runs but does not work counts as down: silent, slow, cut off, or out of disk space."""

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
# Too slow for probes, but not for requests.
DELAY_S = 2.5
Break = Callable[[TcpProxy], None]
BROKEN: list[Break] = [TcpProxy.silence, lambda proxy: proxy.slow(DELAY_S), TcpProxy.cut]


@pytest.fixture
def proxy(separate_kafka: Kafka) -> Iterator[TcpProxy]:
    """Yield a proxy between the services and a running broker."""
    with TcpProxy(separate_kafka.port) as proxy:
        separate_kafka.advertised_port = proxy.port
        separate_kafka.start()
        yield proxy


async def test_a_broker_that_is_silent_counts_as_down(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    """The broker is suspended, so that its connections stay open."""
    async with live.client() as client:
        own_kafka.suspend()
        job_ids = await jobs_run_without_kafka(live, client, live_owner)
        own_kafka.resume()
        await jobs_run_by_kafka(live, client)
    for job_id in job_ids:
        assert await live_owner.fetchval(RESULT_EVENTS, job_id) == 1


@pytest.mark.full_only
@pytest.mark.timeout(240)
async def test_a_broker_that_is_silent_slow_or_cut_off_counts_as_down(
    proxy: TcpProxy, database_url: str, tmp_path: Path, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 200)
    with running(database_url, proxy.address, tmp_path, JOB_LEASE_S="2") as system:
        system.start_all()
        await system.until_bus_is_trusted()
        async with system.client() as client:
            for break_ in BROKEN:
                break_(proxy)
                job_ids = await jobs_run_without_kafka(system, client, owner)
                proxy.heal()
                await jobs_run_by_kafka(system, client)
                for job_id in job_ids:
                    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1


async def jobs_run_without_kafka(
    system: System, client: httpx.AsyncClient, owner: "Owner[asyncpg.Record]"
) -> list[str]:
    """Check that the breaker opens in time, and that jobs from before and after this are run. Return their ids.

    Kafka must have been broken just before the call.
    """
    began = monotonic()
    before = await publish(client)
    await system.until_bus_is("open", within_s=OPENS_WITHIN_S)
    after = await publish(client)
    assert (after["job"]["delivery"], after["job"]["state"]) == ("http", "succeeded")
    assert (await settled(owner, before["job"]["id"], within_s=12))["state"] == "succeeded"
    assert monotonic() - began < 20
    return [before["job"]["id"], after["job"]["id"]]


async def jobs_run_by_kafka(system: System, client: httpx.AsyncClient) -> None:
    await system.until_bus_is("closed")
    await until_kafka_wakes(client)


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    """Mount a file system of ``mib`` MiB at ``folder``.

    If mounting is not permitted, the test fails, or is skipped if the variable ``MAY_SKIP`` is 1.
    """
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        reason = f"A FULL DISK WAS NOT TESTED: no file system may be mounted here ({mounted.stderr.decode().strip()})"
        if os.environ.get(MAY_SKIP) == "1":
            pytest.skip(reason)
        pytest.fail(f"{reason}; {MAY_SKIP}=1 skips this test")
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
                await jobs_run_while_the_disk_is_full(system, separate_kafka, owner)
        finally:
            separate_kafka.kill()


async def jobs_run_while_the_disk_is_full(system: System, kafka: Kafka, owner: "Owner[asyncpg.Record]") -> None:
    ballast = kafka.home / "ballast"
    job_ids = []
    async with system.client() as client:
        fill(ballast)

        async def open_() -> bool:
            # A few records still fit on the last pages, so several publications are needed.
            job_ids.append((await publish(client))["job"]["id"])
            return bool((await client.get("/readyz")).json()["bus"]["eligibility"] == "open")

        await eventually(open_, within_s=30)
        after = await publish(client)
        assert (after["job"]["delivery"], after["job"]["state"]) == ("http", "succeeded")
        for job_id in job_ids:
            assert (await settled(owner, job_id, within_s=15))["state"] == "succeeded"
        ballast.unlink()
        await asyncio.to_thread(kafka.start)  # a broker without disk space stops itself
        await jobs_run_by_kafka(system, client)
    for job_id in job_ids:
        assert await owner.fetchval(RESULT_EVENTS, job_id) == 1


def fill(path: Path) -> None:
    """Write to ``path`` until the disk is full."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    os.write(file.fileno(), b"x" * size)
            except OSError:
                continue
