"""No notification is missed. The tests make polls rare, because a poll would hide a missed notification."""

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


async def test_the_relay_receives_every_notification(
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
        started_s = monotonic()
        for number in range(ROUNDS):
            async with database.transaction() as connection:
                await event_store.append(
                    connection, f"user-{number}", [PasswordChanged(user_id=1)], CAUSE, expected_version=0
                )
            notifier.notify(notify.OUTBOX)
            if rng.random() < 0.5:
                await eventually(empty, within_s=FAR_APART_S / 2)
        await eventually(empty, within_s=FAR_APART_S / 2)
    assert monotonic() - started_s < FAR_APART_S
    await database.close()


@asynccontextmanager
async def notifier_with_listener(database_url: str, received: list[str]) -> AsyncIterator[Notifier]:
    """Yield a notifier. A listener appends the payloads of its job notifications to ``received``."""
    url = as_role(database_url, "placewire_api")
    notifier = Notifier(url, application_name="test-notify")
    listener = notify.Listener(
        url, [notify.JOB], application_name="test-listen", on_notice=lambda _, payload: received.append(payload)
    )

    async def connected() -> bool:
        return listener.connected

    async with background(notifier.run, listener.run):
        await eventually(connected)
        yield notifier


async def test_notifications_during_a_send_are_sent_too(database_url: str) -> None:
    received: list[str] = []

    async def all_received() -> bool:
        return set(received) == {str(number) for number in range(500)}

    async with notifier_with_listener(database_url, received) as notifier:
        for number in range(500):
            notifier.notify(notify.JOB, str(number))
            if number % 7 == 0:
                await asyncio.sleep(0)
        await eventually(all_received, within_s=10)


async def test_flushing_waits_for_the_current_send(
    database_url: str, owner: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[str] = []
    slow = notify.SEND.replace("SELECT", "SELECT pg_sleep(0.3),")
    sending = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_notify(channel%'"
    async with notifier_with_listener(database_url, received) as notifier:
        monkeypatch.setattr(notify, "SEND", slow)
        notifier.notify(notify.JOB, "slow")
        await eventually(lambda: owner.fetchval(sending))
        await notifier.flush()
        assert await owner.fetchval(sending) == 0


async def test_a_deferred_notification_is_sent_once_and_delays_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[str] = []

    def has_received(*payloads: str) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return received == list(payloads)

        return check

    async with notifier_with_listener(database_url, received) as notifier:
        notifier.notify(notify.JOB, "0")
        await eventually(has_received("0"))

        notifier.defer(notify.JOB, "alone")
        await eventually(has_received("0", "alone"))

        monkeypatch.setattr(notify, "DEFERRED_S", FAR_APART_S)
        notifier.defer(notify.JOB, "last")
        notifier.defer(notify.JOB, "replaced")
        notifier.notify(notify.JOB, "replaced")
        await eventually(has_received("0", "alone", "replaced"))
        await notifier.flush()
        await eventually(has_received("0", "alone", "replaced", "last"))
