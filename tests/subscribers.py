"""The FastStream broker of a service, as the service makes it, for tests that need no Kafka."""

from faststream.kafka import KafkaBroker

from chassis.bus import Consumer
from chassis.database import Database
from chassis.settings import KafkaSettings
from chassis.subscribers import WakeWorker
from cli.published.asyncapi import SUBSCRIBE
from contracts.jobs import OWNER, TOPIC_OF, Service


def kafka_broker(service: Service, wake: WakeWorker) -> KafkaBroker:
    """Return the broker of ``service``, which wakes by ``wake``. It is not connected, nor is its database."""
    database = Database("postgresql://postgres@127.0.0.1:9/nothing", pool_size=1, application_name="test")
    heard = list(dict.fromkeys(TOPIC_OF[kind] for kind, owner in OWNER.items() if owner is service))
    return Consumer(KafkaSettings(), database, service, heard, SUBSCRIBE[service], wake).broker()
