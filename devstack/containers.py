"""The same two servers in containers, for tests on a machine where Docker answers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy
from testcontainers.community.postgres import PostgresContainer

from devstack.ports import LOOPBACK, free_port
from devstack.stack import Addresses

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.1.0"
DEFAULT_SOCKET = Path("/var/run/docker.sock")


def docker_answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not DEFAULT_SOCKET.exists():
        return False
    try:
        # A version given up front: asking the server for it would leave a socket open when there is none.
        client = docker.from_env(version="1.44", timeout=2)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False


class KafkaContainer(DockerContainer):
    """A broker of the official image. testcontainers' own class knows other images only.

    The broker tells clients where to reach it, so the port on this machine is chosen before it starts.
    """

    def __init__(self) -> None:
        super().__init__(KAFKA_IMAGE)
        self.port = free_port()
        self.with_bind_ports(9092, self.port)
        for name, value in self._environment().items():
            self.with_env(name, value)
        self.waiting_for(LogMessageWaitStrategy("Kafka Server started"))

    def _environment(self) -> dict[str, str]:
        return {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_GROUP_COORDINATOR_APPEND_LINGER_MS": "0",
        }


@contextmanager
def running() -> Iterator[Addresses]:
    """Both containers, removed when the block ends."""
    postgres = PostgresContainer(POSTGRES_IMAGE, driver=None).with_command("-c max_connections=300")
    with postgres, KafkaContainer() as kafka:
        yield Addresses(postgres.get_connection_url(), f"{LOOPBACK}:{kafka.port}")
