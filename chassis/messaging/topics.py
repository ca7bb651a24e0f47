"""Create the Kafka topics that do not exist yet."""

import asyncio

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from chassis.messaging.kafka import client_options
from chassis.settings import KafkaSettings
from contracts import topics
from contracts.jobs import Service
from contracts.topics import Topic

CONNECT_TIMEOUT_S = 5.0

log = structlog.get_logger()


def every_topic() -> list[Topic]:
    """Return all topics, also those of dead letters and probes. Each topic is returned once."""
    named = {topic.name: topic for topic in topics.BY_STREAM_TYPE.values()}
    return [*named.values(), topics.PROBE, *(topics.dead_letters(service) for service in Service)]


async def create_topics(settings: KafkaSettings) -> None:
    """Create missing topics. Existing ones are not changed.

    Raises aiokafka's errors when the broker does not answer or refuses.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await admin.start()
        present = set(await admin.list_topics())
        missing = [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=settings.kafka_replication_factor,
                topic_configs={"retention.ms": str(topic.retention_ms)},
            )
            for topic in every_topic()
            if topic.name not in present
        ]
        if missing:
            response = await admin.create_topics(missing)
            for name, code, *text in response.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise for_code(code)(f"{name}: {text}")
            log.info("topics.created", topics=[topic.name for topic in missing])
    finally:
        await admin.close()
