"""Measure the lower limit for work over Kafka: the time of one record to the broker and back, with plain aiokafka."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

TOPIC = "bench.round-trip"
# As long as an event of the benches.
VALUE = b"x" * 300
WITHIN_S = 60


async def round_trips_ms(bootstrap_servers: str, count: int, per_second: float) -> list[float]:
    """Return the round trip of each of ``count`` records. One is sent every ``1 / per_second`` s, without waiting.

    Raises ``TimeoutError`` when a record has not come back within ``WITHIN_S`` after the last one was sent.
    """
    await _make_topic(bootstrap_servers)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap_servers, auto_offset_reset="latest")
    await producer.start()
    await consumer.start()
    try:
        # The consumer looks up the latest offset on first use. It would never read records sent before that.
        await consumer.position(TopicPartition(TOPIC, 0))
        await producer.send_and_wait(TOPIC, VALUE, key=b"warm")
        async with asyncio.timeout(WITHIN_S):
            await consumer.getone()
        sent: list[float] = []
        arrived = asyncio.create_task(_arrivals(consumer, count))
        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(began + number / per_second - time.perf_counter(), 0))
            sent.append(time.perf_counter())
            await producer.send(TOPIC, VALUE, key=b"one stream")
        async with asyncio.timeout(WITHIN_S):
            return [(after - before) * 1000 for before, after in zip(sent, await arrived, strict=True)]
    finally:
        await consumer.stop()
        await producer.stop()


async def _arrivals(consumer: AIOKafkaConsumer, count: int) -> list[float]:
    moments = []
    for _ in range(count):
        await consumer.getone()
        moments.append(time.perf_counter())
    return moments


async def _make_topic(bootstrap_servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        if TOPIC not in await admin.list_topics():
            await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
