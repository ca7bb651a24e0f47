"""Replicas of a service share its jobs, even if the topic has one partition."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts import topics
from devstack.kafka import Kafka
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import HOLD_EVALUATION, LET_GO, NEXT_DRIVE, publish, settled
from tests.support.system import System

REPLICAS = ("eligibility", "eligibility2", "eligibility3")
OWNERS = "SELECT DISTINCT split_part(owner, ':', 2)::integer AS port FROM es.job WHERE state = 'running'"


@asynccontextmanager
async def one_partition(kafka: Kafka) -> AsyncIterator[None]:
    """Give the topic of drives one partition until the block ends. The next relay creates the usual topic again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([topics.DRIVE.name])
        await admin.create_topics([NewTopic(topics.DRIVE.name, num_partitions=1, replication_factor=1)])
        yield
        await admin.delete_topics([topics.DRIVE.name])
    finally:
        await admin.close()


async def test_replicas_share_the_jobs_of_a_topic_with_one_partition(
    kafka_system: System, kafka_alone: Kafka, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Each replica has one slot, and no job can end. So all jobs can only run if each replica has one of them."""
    await enrol(owner, 50)
    kafka_system.settings["JOBS_AT_ONCE"] = "1"
    async with one_partition(kafka_alone):
        await asyncio.to_thread(kafka_system.start_together, "relay", "api", *REPLICAS)
        await kafka_system.until_bus_is_trusted()
        await share(kafka_system, owner)


async def share(system: System, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    first = await owner.fetchval(NEXT_DRIVE)
    for number in range(len(REPLICAS)):
        await owner.execute(HOLD_EVALUATION, first + number)
    async with system.client() as client:
        job_ids = [(await publish(client))["job"]["id"] for _ in REPLICAS]

        async def all_busy() -> bool:
            return {row["port"] for row in await owner.fetch(OWNERS)} == {system.ports[name] for name in REPLICAS}

        await eventually(all_busy)
        await owner.execute(LET_GO)
        for job_id in job_ids:
            job = await settled(owner, job_id)
            assert (job["state"], job["attempts"]) == ("succeeded", 1)
