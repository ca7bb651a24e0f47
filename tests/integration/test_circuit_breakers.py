"""Circuit breakers while Kafka permanently refuses a row of the outbox, so that later rows of its key wait."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from chassis.messaging.breaker import GOOD_POLLS_TO_CLOSE, CircuitBreakers
from chassis.messaging.kafka import RELAY_SENDS
from chassis.postgres.database import Database
from contracts.jobs import Service
from tests.support.system import as_role

Owner = asyncpg.Connection
PUT = """
INSERT INTO es.outbox (lane, topic, key, queued_at, quarantined_at)
VALUES (0, 'placewire.drive', $1, clock_timestamp() - interval '1 h', CASE WHEN $2 THEN clock_timestamp() END)
"""
SEEN = """
INSERT INTO es.probe (service, sent_at, seen_at) SELECT unnest($1::text[]), clock_timestamp(), clock_timestamp()
ON CONFLICT (service) DO UPDATE SET sent_at = excluded.sent_at, seen_at = excluded.seen_at
"""


@pytest_asyncio.fixture
async def one_key_held(owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute(PUT, "drive-1", True)
    await owner.execute(PUT, "drive-1", False)


@pytest_asyncio.fixture
async def consumers(database_url: str) -> AsyncIterator[Database]:
    database = Database(as_role(database_url, "placewire_eligibility"), pool_size=1, application_name="test")
    yield database
    await database.close()


async def closed_breakers(watch: CircuitBreakers, owner: "Owner[asyncpg.Record]") -> list[bool]:
    await owner.execute(SEEN, list(Service))
    for _ in range(GOOD_POLLS_TO_CLOSE):
        await watch.look()
    return [watch.is_closed(service) for service in Service]


async def test_a_quarantined_key_opens_no_breaker_but_a_row_that_waits_for_the_relay_does(
    one_key_held: None, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    database = Database(as_role(database_url, "placewire_api"), pool_size=1, application_name="test")
    watch = CircuitBreakers(database)
    try:
        assert await closed_breakers(watch, owner) == [True] * len(Service)
        await owner.execute(PUT, "drive-2", False)
        assert await closed_breakers(watch, owner) == [False] * len(Service)
    finally:
        await database.close()


async def test_probes_of_other_services_show_that_the_relay_sends_despite_a_quarantined_key(
    one_key_held: None, owner: "Owner[asyncpg.Record]", consumers: Database
) -> None:
    async with consumers.connection() as connection:
        assert not await connection.fetchval(RELAY_SENDS, Service.ELIGIBILITY)
        await owner.execute(SEEN, [Service.ELIGIBILITY])
        assert not await connection.fetchval(RELAY_SENDS, Service.ELIGIBILITY)
        await owner.execute(SEEN, [Service.EXPORTER])
        assert await connection.fetchval(RELAY_SENDS, Service.ELIGIBILITY)
