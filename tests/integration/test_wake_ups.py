"""No wake-up is missed: with the polls that would hide one set far apart, everything still happens at once."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from uuid import UUID

import asyncpg
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.http.service import background
from chassis.messaging.relay import Relay
from chassis.messaging.relay_process import RelaySettings
from chassis.messaging.topics import create_topics
from chassis.postgres import notify
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from contracts.users import PasswordChanged
from devstack.stack import Addresses
from tests.support.eventually import eventually
from tests.support.sizes import sized
from tests.support.system import as_role

ROUNDS = sized(small=20, full=400)
FAR_APART_S = 60.0
CAUSE = Cause(source="test", correlation_id=UUID(int=7))


async def test_the_relay_hears_every_notice(
    database_url: str, servers: Addresses, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    settings = RelaySettings(
        database_url=as_role(database_url, "placewire_relay"), kafka_bootstrap_servers=servers.kafka_bootstrap_servers
    )
    await create_topics(settings)
    api = as_role(database_url, "placewire_api")
    database = Database(api, pool_size=4, application_name="test")
    notifier = Notifier(api, application_name="test-notify")
    relay = Relay(settings, settings.database_url, poll_s=FAR_APART_S)
    rng = random.Random(7)

    async def empty() -> bool:
        return not await owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL")

    async def leading() -> bool:
        return relay.leading

    async with background(relay.run, notifier.run):
        await eventually(leading)
        began = monotonic()
        for number in range(ROUNDS):
            async with database.transaction() as connection:
                await event_store.append(
                    connection, f"user-{number}", [PasswordChanged(user_id=1)], CAUSE, expected_version=0
                )
            notifier.notify(notify.OUTBOX)
            if rng.random() < 0.5:
                await eventually(empty, within_s=FAR_APART_S / 2)
        await eventually(empty, within_s=FAR_APART_S / 2)
    assert monotonic() - began < FAR_APART_S
    await database.close()


@asynccontextmanager
async def listened_to(database_url: str, heard: list[str]) -> AsyncIterator[Notifier]:
    """A notifier whose notices of jobs end in ``heard``."""
    url = as_role(database_url, "placewire_api")
    notifier = Notifier(url, application_name="test-notify")
    listener = notify.Listener(
        url, [notify.JOB], application_name="test-listen", on_notice=lambda _, payload: heard.append(payload)
    )

    async def connected() -> bool:
        return listener.connected

    async with background(notifier.run, listener.run):
        await eventually(connected)
        yield notifier


async def test_the_notifier_sends_what_comes_while_it_sends(database_url: str) -> None:
    heard: list[str] = []

    async def all_heard() -> bool:
        return set(heard) == {str(number) for number in range(500)}

    async with listened_to(database_url, heard) as notifier:
        for number in range(500):
            notifier.notify(notify.JOB, str(number))
            if number % 7 == 0:
                await asyncio.sleep(0)
        await eventually(all_heard, within_s=10)


async def test_flushing_waits_for_what_is_being_sent(
    database_url: str, owner: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    slow = notify.SEND.replace("SELECT", "SELECT pg_sleep(0.3),")
    sending = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_notify(channel%'"
    async with listened_to(database_url, heard) as notifier:
        monkeypatch.setattr(notify, "SEND", slow)
        notifier.notify(notify.JOB, "slow")
        await eventually(lambda: owner.fetchval(sending))
        await notifier.flush()
        assert await owner.fetchval(sending) == 0


async def test_a_deferred_notice_is_sent_later_and_once_and_delays_none(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def heard_all(*payloads: str) -> Callable[[], Awaitable[bool]]:
        async def answer() -> bool:
            return heard == list(payloads)

        return answer

    async with listened_to(database_url, heard) as notifier:
        notifier.notify(notify.JOB, "0")
        await eventually(heard_all("0"))

        notifier.defer(notify.JOB, "alone")
        await eventually(heard_all("0", "alone"))

        monkeypatch.setattr(notify, "DEFERRED_S", FAR_APART_S)
        notifier.defer(notify.JOB, "last")
        notifier.defer(notify.JOB, "replaced")
        notifier.notify(notify.JOB, "replaced")
        await eventually(heard_all("0", "alone", "replaced"))
        await notifier.flush()
        await eventually(heard_all("0", "alone", "replaced", "last"))
