"""Check Kafka: the connection, and whether the topics agree with the contracts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from chassis.messaging.kafka import client_options
from chassis.messaging.topics import every_topic
from chassis.settings import KafkaSettings
from cli.doctor.finding import Finding, ok, wrong
from cli.failures import one_line
from contracts.topics import Topic

TIMEOUT_S = 10.0
RETENTION = "retention.ms"


async def look(settings: KafkaSettings) -> AsyncIterator[Finding]:
    """Yield all findings about Kafka. If it cannot be reached, yield only that finding."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await admin.start()
            topics = {topic["topic"]: topic for topic in await admin.describe_topics() if not topic["error_code"]}
            brokers = len((await admin.describe_cluster())["brokers"])
            kept = await _retention(admin, [topic.name for topic in every_topic() if topic.name in topics])
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        message = f"{settings.kafka_bootstrap_servers} cannot be reached: {type(error).__name__} {one_line(error)}"
        fix = "start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ settings; jobs use HTTP meanwhile"
        yield wrong("Kafka", message, fix)
        return
    finally:
        await admin.close()
    yield ok("Kafka", f"{brokers} broker{'s' if brokers != 1 else ''} at {settings.kafka_bootstrap_servers}")
    found = [finding for topic in every_topic() for finding in compared(topic, topics, kept, settings)]
    for finding in found or [ok("topics", f"{len(every_topic())} topics, which agree with the contracts")]:
        yield finding


async def _retention(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, str]:
    resources_to_describe = [ConfigResource(ConfigResourceType.TOPIC, name, {RETENTION: ""}) for name in names]
    answers = await admin.describe_configs(resources_to_describe) if resources_to_describe else []
    resources = [resource for answer in answers for resource in answer.to_object()["resources"]]
    return {
        resource["resource_name"]: entry["config_value"]
        for resource in resources
        for entry in resource["config_entries"]
        if entry["config_names"] == RETENTION
    }


def compared(
    topic: Topic, present: Mapping[str, Any], kept: Mapping[str, str], settings: KafkaSettings
) -> list[Finding]:
    if topic.name not in present:
        return [wrong("topics", f"{topic.name} is missing", "start a relay: it creates what is missing")]
    found = []
    partitions = present[topic.name]["partitions"]
    command = f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name}"
    if len(partitions) != topic.partitions:
        message = f"{topic.name} has {len(partitions)} partitions instead of {topic.partitions}"
        fix = "see docs/operations.md, Partitions: Kafka can add partitions but cannot remove any"
        found.append(wrong("topics", message, fix))
    if (retention := kept.get(topic.name)) != str(topic.retention_ms):
        message = f"{topic.name} keeps messages for {retention} ms instead of {topic.retention_ms}"
        found.append(wrong("topics", message, f"{command} --add-config {RETENTION}={topic.retention_ms}"))
    replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
    if replicas < settings.kafka_replication_factor:
        message = (
            f"{topic.name} has {replicas} replicas, KAFKA_REPLICATION_FACTOR is {settings.kafka_replication_factor}"
        )
        found.append(wrong("topics", message, "kafka-reassign-partitions.sh gives a topic more replicas"))
    return found
