"""Tells Kafka how far a consumer is, beside its work: nobody waits for the coordinator before the next records."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

# Each costs the consumer and the broker more than a record does.
EVERY_S = 0.2
# A coordinator that does not answer must not hold up a shutdown.
LAST_TIMEOUT_S = 2.0

log = structlog.get_logger()


class Offsets:
    """Of records that were received, the newest of each partition.

    What is not committed yet when a consumer ends, or a partition moves, is brought once more and recognised.
    """

    def __init__(self) -> None:
        self._reached: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._wake = asyncio.Event()

    def received(self, consumer: AIOKafkaConsumer, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """All of ``records``, which ``consumer`` brought, are safe."""
        self._consumer = consumer
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            self._reached[partition] = max(record.offset + 1, self._reached.get(partition, 0))
        self._wake.set()

    @asynccontextmanager
    async def committing(self) -> AsyncIterator[None]:
        """Commit while the block lasts, one after the other, what has come together meanwhile; the rest at its end."""
        beside = asyncio.create_task(self._run())
        try:
            yield
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_TIMEOUT_S):
                    await self.commit()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.commit()
            await asyncio.sleep(EVERY_S)

    async def commit(self) -> None:
        """What Kafka refuses or does not answer is kept for the next time; partitions that have moved are forgotten."""
        if self._consumer is None:
            return
        mine = self._consumer.assignment()
        reached, self._reached = {one: to for one, to in self._reached.items() if one in mine}, {}
        if not reached:
            return
        try:
            await self._consumer.commit(reached)
        except KafkaError as error:
            log.info("consumer.not_committed", reason=type(error).__name__)
            self._reached = reached | self._reached
