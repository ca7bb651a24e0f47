"""The embedded servers restart with their data after kill -9, run in parallel, and leave no processes or files."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack import choice
from devstack.artifacts import KAFKA_VERSION, Jar, ensure_jars, locked
from devstack.failures import DownloadFailed, StackFailure
from devstack.ports import LOOPBACK, PICKED_FROM, free_port
from devstack.processes import Process, alive
from devstack.record import Record
from devstack.stack import CHECKOUT, Stack, data_folder, remove_abandoned

pytestmark = pytest.mark.xdist_group("devstack")

TOPIC = "kept"
# Marks tests that restart the servers of the fixture `stack`.
restarts_servers = pytest.mark.restarts_servers
STARTER = """
import sys, time
from pathlib import Path
from devstack import Stack
try:
    with Stack(Path(sys.argv[1]), disposable=True):
        print("started", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(143)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder for data. As root, Postgres runs as another user, who cannot enter ``tmp_path``."""
    path = data_folder() / f"devstack-{os.getpid()}"
    yield path
    if path.exists():
        shutil.rmtree(path)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with Stack(folder / "one", disposable=True) as started:
        yield started


@asynccontextmanager
async def sql(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def test_killed_postgres_restarts_at_its_address_with_committed_data(stack: Stack) -> None:
    async with sql(stack.postgres.dsn) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        settings = await connection.fetchrow(
            "SELECT current_setting('fsync') AS fsync, current_setting('timezone') AS zone, version() AS version"
        )
        assert settings is not None
        assert (settings["fsync"], settings["zone"]) == ("on", "UTC")
        assert settings["version"].startswith("PostgreSQL 18")
    dsn, pid = stack.postgres.dsn, stack.postgres.pid
    stack.postgres.kill()
    assert not stack.postgres.running
    stack.postgres.start()
    assert (stack.postgres.dsn, stack.postgres.running) == (dsn, True)
    assert stack.postgres.pid != pid
    async with sql(dsn) as connection:
        assert await connection.fetchval("SELECT count(*) FROM kept") == 1000


async def test_postgres_starts_after_a_kill_of_only_the_postmaster_and_reuse_of_its_pid(stack: Stack) -> None:
    assert stack.postgres.pid is not None
    os.kill(stack.postgres.pid, signal.SIGKILL)
    pid_file = stack.postgres.data / "postmaster.pid"
    # Write the pid of a running process that is not Postgres.
    pid_file.write_text("\n".join([str(os.getpid()), *pid_file.read_text().splitlines()[1:]]) + "\n")
    assert not stack.postgres.running
    stack.postgres.start()
    async with sql(stack.postgres.dsn) as connection:
        assert await connection.fetchval("SELECT 1") == 1


@restarts_servers
async def test_killed_kafka_restarts_at_its_address_with_its_messages(stack: Stack) -> None:
    address = stack.kafka.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait(TOPIC, b"before the kill")
    stack.kafka.kill()
    assert not stack.kafka.running
    stack.kafka.start()
    assert stack.kafka.bootstrap_servers == address
    async with AIOKafkaConsumer(TOPIC, bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        assert (await consumer.getone()).value == b"before the kill"


def test_another_program_finds_a_running_stack_by_its_folder(stack: Stack) -> None:
    same_stack = Stack(stack.home)
    assert same_stack.running
    assert same_stack.addresses == stack.addresses
    assert (same_stack.postgres.pid, same_stack.kafka.pid) == (stack.postgres.pid, stack.kafka.pid)


@contextmanager
def starter(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run another program that starts its own stack."""
    command = [sys.executable, "-c", STARTER, str(home)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        try:
            yield program
        finally:
            program.kill()


def family(stack: Stack) -> list[psutil.Process]:
    assert stack.postgres.pid is not None
    assert stack.kafka.pid is not None
    postmaster = psutil.Process(stack.postgres.pid)
    return [postmaster, *postmaster.children(), psutil.Process(stack.kafka.pid)]


def survivors(processes: list[psutil.Process]) -> list[psutil.Process]:
    # A server reports its end shortly before its process ends.
    _, left = psutil.wait_procs(processes, timeout=5)
    return [process for process in left if alive(process)]


@pytest.mark.full_only
def test_a_second_stack_runs_in_parallel_and_stops_when_its_program_gets_sigterm(stack: Stack, folder: Path) -> None:
    with starter(folder / "two") as program:
        second = Stack(folder / "two")
        processes = family(second)
        assert {second.postgres.port, second.kafka.port}.isdisjoint({stack.postgres.port, stack.kafka.port})
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 143
    assert not survivors(processes)
    assert not (folder / "two").exists()
    assert stack.running


@pytest.mark.full_only
def test_servers_of_a_killed_program_are_removed(stack: Stack, folder: Path) -> None:
    with starter(folder / "three") as program:
        processes = family(Stack(folder / "three"))
        remove_abandoned(folder)
        assert all(alive(process) for process in processes)
        program.kill()
        program.wait()
    remove_abandoned(folder)
    assert not survivors(processes)
    assert not (folder / "three").exists()
    assert stack.running


@restarts_servers
def test_repeated_start_and_stop_leave_no_process(stack: Stack) -> None:
    """This must be the last test that uses ``stack``."""
    assert Stack(stack.home).start() == stack.addresses
    sleeper = stack.launch("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
    processes = [*family(stack), psutil.Process(sleeper.pid)]
    stack.postgres.suspend()
    stack.kafka.suspend()
    stopped = Stack(stack.home).stop()  # finds the processes in the record, like `python -m devstack stop`
    assert stopped == ["sleeper", "kafka", "postgres"]
    assert not survivors(processes)
    assert Stack(stack.home).stop() == []


def test_a_process_that_reuses_the_pid_of_ours_is_not_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        created = psutil.Process(other.pid).create_time()
        ours = Process("ours", other.pid, created - 60, log="none")
        assert not ours.running
        ours.kill()
        ours.suspend()
        assert other.poll() is None
        other.kill()


def test_processes_that_ignore_sigterm_or_are_suspended_are_stopped(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    ignores_sigterm = Process.start("deaf", [sys.executable, "-c", stubborn], log=tmp_path / "deaf")
    suspended = Process.start("slow", [sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "slow")
    try:
        suspended.suspend()
        suspended.stop(grace_s=20)
        while "deaf" not in ignores_sigterm.log_tail():
            time.sleep(0.01)
        assert ignores_sigterm.rss_bytes() > 0
        ignores_sigterm.stop(grace_s=0.2)
        assert (suspended.running, ignores_sigterm.running, ignores_sigterm.rss_bytes()) == (False, False, 0)
    finally:
        suspended.kill()
        ignores_sigterm.kill()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[dict[str, str], Jar]]:
    """Serve a local Maven repository with one artifact. Return its address and the artifact."""
    content = b"not really a jar"
    folder = tmp_path / "repository" / "org" / "example" / "thing" / "1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0.jar").write_bytes(content)
    (folder / "thing-1.0.jar.sha1").write_text(hashlib.sha1(content).hexdigest())
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", LOOPBACK]
    url = f"http://{LOOPBACK}:{port}"
    server = Process.start("repository", command, log=tmp_path / "log", cwd=tmp_path / "repository", url=url)
    try:
        server.wait_ready()
        yield {"here": url}, Jar("org.example:thing:1.0", len(content), hashlib.sha256(content).hexdigest())
    finally:
        server.kill()


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != ".lock"]


def test_a_jar_is_downloaded_once(tmp_path: Path, repository: tuple[dict[str, str], Jar]) -> None:
    repositories, jar = repository
    (path,) = ensure_jars(tmp_path / "jars", [jar], repositories)
    assert path.read_bytes() == b"not really a jar"
    assert ensure_jars(tmp_path / "jars", [jar], {"gone": f"http://{LOOPBACK}:1"}) == [path]
    assert files(tmp_path / "jars") == ["thing-1.0.jar"]


def test_a_jar_that_differs_from_the_lock_is_refused_and_not_stored(
    tmp_path: Path, repository: tuple[dict[str, str], Jar]
) -> None:
    repositories, jar = repository
    with pytest.raises(DownloadFailed, match=r"thing-1\.0\.jar is not the locked one"):
        ensure_jars(tmp_path / "jars", [replace(jar, sha256="0" * 64)], repositories)
    assert files(tmp_path / "jars") == []


def test_a_failed_download_is_reported_in_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    jar = Jar("org.example:thing:1.0", 1, "0" * 64)
    with pytest.raises(DownloadFailed, match=r"could not download thing-1\.0\.jar") as caught:
        ensure_jars(tmp_path, [jar], {"gone": f"http://{LOOPBACK}:{free_port()}"})
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == []


def test_every_locked_jar_has_a_unique_file_name() -> None:
    jars = locked()
    assert len({jar.filename for jar in jars}) == len(jars) > 30
    assert any(jar.coordinate == f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}" for jar in jars)


def test_free_ports_are_below_the_range_of_outgoing_connections(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(port in PICKED_FROM for port in ports)
    command = [sys.executable, "-m", "http.server", str(ports[0]), "--bind", LOOPBACK]
    server = Process.start("server", command, log=tmp_path / "log", cwd=tmp_path, url=f"http://{LOOPBACK}:{ports[0]}/")
    try:
        server.wait_ready()
        assert free_port(ports[0]) != ports[0]
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TEST_DATABASE_URL": "d", "TEST_KAFKA_BOOTSTRAP_SERVERS": "k"}, "given"),
        ({"TEST_DATABASE_URL": "d", "TEST_KAFKA_BOOTSTRAP_SERVERS": "k", "DEVSTACK": "embedded"}, "embedded"),
        ({"DEVSTACK": "containers"}, "containers"),
    ],
)
def test_the_environment_chooses_the_servers(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(environment, monkeypatch)
    assert choice.kind() == expected


@pytest.mark.parametrize(
    ("environment", "variable"), [({"DEVSTACK": "docker"}, "DEVSTACK"), ({"TEST_DATABASE_URL": "d"}, "KAFKA")]
)
def test_the_error_of_an_invalid_choice_names_the_variable(
    environment: dict[str, str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(environment, monkeypatch)
    with pytest.raises(StackFailure, match=variable):
        choice.kind()


def _set(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEVSTACK", *choice.GIVEN):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_the_record_is_plain_json_with_a_list_of_processes(tmp_path: Path) -> None:
    record = Record.load(tmp_path)
    record.add(Process("api", 7, 1.5, "api.log", "http://127.0.0.1:5000"))
    assert json.loads((tmp_path / Record.FILE).read_text())["processes"] == [
        {"name": "api", "pid": 7, "created": 1.5, "log": "api.log", "url": "http://127.0.0.1:5000"}
    ]
    assert Record.load(tmp_path).processes == record.processes
