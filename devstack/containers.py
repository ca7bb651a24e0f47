"""Run Postgres and Kafka in containers, for tests on a machine with Docker."""

from collections.abc import Iterator
from contextlib import contextmanager

from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from devstack.artifacts import KAFKA_VERSION
from devstack.kafka_settings import PROPERTIES
from devstack.ports import LOOPBACK, free_port
from devstack.postgres_settings import NOT_DURABLE, TUNING
from devstack.stack import Addresses

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"


class KafkaContainer(DockerContainer):
    """A broker of the official image, configured like the embedded broker. testcontainers' class refuses that image.

    The broker advertises its address to clients. So its port on this machine is chosen before it starts.
    """

    def __init__(self) -> None:
        super().__init__(KAFKA_IMAGE)
        self.port = free_port()
        self.with_bind_ports(9092, self.port)
        own = {
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.quorum.voters": "1@localhost:9093",
        }
        # The image reads its settings from variables with these names.
        self.with_envs(
            **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in (PROPERTIES | own).items()}
        )
        self.waiting_for(LogMessageWaitStrategy("Kafka Server started"))

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"


class TrustingPostgresContainer(PostgresContainer):
    """A server like the embedded one: the superuser is ``postgres``, and every role logs in without a password."""

    def __init__(self, *, durable: bool = True) -> None:
        super().__init__(POSTGRES_IMAGE, username="postgres", dbname="postgres", driver=None)
        self.with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        settings = TUNING if durable else TUNING | NOT_DURABLE
        self.with_command(" ".join(f"-c {name}={value}" for name, value in settings.items()))

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@{self.get_container_host_ip()}:{self.get_exposed_port(5432)}/postgres"


@contextmanager
def running(*, durable: bool = True) -> Iterator[Addresses]:
    """Yield the addresses of both containers. They are removed when the block ends."""
    with TrustingPostgresContainer(durable=durable) as postgres, KafkaContainer() as kafka:
        yield Addresses(postgres.dsn, kafka.bootstrap_servers)
