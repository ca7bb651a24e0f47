"""Read topics from their beginning."""

import json
from collections import defaultdict
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer

from contracts.topics import Topic


async def first_sights(bootstrap_servers: str, topics: Iterable[Topic]) -> dict[str, dict[str, int]]:
    """Return for each stream the version of each event id, in the order of their first records."""
    names = sorted({topic.name for topic in topics})
    consumer = AIOKafkaConsumer(
        *names, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    seen: dict[str, dict[str, int]] = defaultdict(dict)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    headers = dict(record.headers)
                    version = json.loads(headers["ce_streamversion"])
                    seen[headers["ce_subject"].decode()].setdefault(headers["ce_id"].decode(), version)
    finally:
        await consumer.stop()
    return seen
