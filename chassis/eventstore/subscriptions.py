"""Consumers that handle every event of the log once and in order. Guide: docs/subscriptions.md.

A subscription keeps a checkpoint in Postgres. Each batch is one transaction: check the fence, move the checkpoint,
apply the handler's effect. So an effect in Postgres happens exactly once. A notice only wakes the reader.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

import asyncpg
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_never, wait_exponential_jitter

from chassis.errors import Contended, Fenced, Overloaded, StorageFailed, Unavailable
from chassis.eventstore import checkpoints
from chassis.eventstore.event_store import Recorded, read_page
from chassis.http.service import background
from chassis.observability.error_text import described
from chassis.postgres import notify
from chassis.postgres.database import Connection, Database, translated
from chassis.postgres.leadership import leading
from contracts.message import Event

Handler = Callable[[Connection, Sequence[Recorded]], Awaitable[None]]
Session = asyncpg.Connection

BATCH_SIZE = 500
TRY_LOCK_EVERY_S = 0.5
# Postgres ends a session that is idle for longer. So a replica that stopped responding loses its lock.
LOCK_KEPT_S = 10
HEARTBEAT_S = 2.0
# The pause between two reads of the log. It starts again from the first value after each event.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.01, 1.0
PAUSE_GROWTH = 3
# The shortest pause. Without it, each notice would cause a useless read while a long transaction hides new events.
LEAST_PAUSE_S = 0.005
MAX_BACK_OFF_S = 5.0
RECONNECT_S = 0.5
# Retried without a limit. Any other error of a handler stops the subscription.
TRANSIENT = (Contended, Unavailable, Overloaded, StorageFailed, ConnectionError, TimeoutError)

log = structlog.get_logger()


class Subscription:
    """Calls ``handler`` with every event of ``types`` once, in the order of the log.

    ``handler(connection, events)`` runs in the transaction that moves the checkpoint. It must write only over
    ``connection``. A failure rolls back its writes, and it may run again. An error that is not ``TRANSIENT`` stops the
    subscription at the event that causes it, and the reason is recorded. `placewire subscriptions retry` or ``reset``
    makes it continue. Several replicas may run; one is active.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        handler: Handler,
        *,
        types: Collection[type[Event]] | None = None,
        batch_size: int = BATCH_SIZE,
        from_now: bool = False,
    ) -> None:
        """``types``: ``None`` for all. ``from_now``: a new subscription skips the events recorded before.

        ``batch_size``: how many events, of any type, one transaction reads.
        """
        self._database = database
        self._name = name
        self._handler = handler
        self._types = None if types is None else [event_class.TYPE for event_class in types]
        self._batch_size = self._limit = batch_size
        self._from_now = from_now
        # The first position of the current batch.
        self._first_position: int | None = None
        self._wake = asyncio.Event()
        self._log = log.bind(subscription=name)
        self.active = False

    async def run(self) -> None:
        """Handle events until cancelled. While another replica is active, wait."""
        while True:
            try:
                await self._lead()
            except (Unavailable, Contended, Fenced) as error:
                self._log.warning("subscription.interrupted", reason=str(error))
            finally:
                self.active = False
            await asyncio.sleep(RECONNECT_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def _lead(self) -> None:
        name = f"placewire-subscription-{self._name}"
        lock = checkpoints.lock_of(self._name)
        async with leading(
            self._database.url, lock, application_name=name, try_every_s=TRY_LOCK_EVERY_S, durable=False
        ) as session:
            with translated(session):
                await session.execute(f"SET idle_session_timeout = '{LOCK_KEPT_S}s'")
                await session.add_listener(notify.OUTBOX, lambda *_: self._wake.set())
            async with background(partial(_keep_alive, session)):
                async with self._database.transaction() as connection:
                    fence = await checkpoints.take_over(connection, self._name, from_now=self._from_now)
                self.active = True
                self._log.info("subscription.started", fence=fence)
                await self._follow(session, fence)

    async def _follow(self, session: "Session[asyncpg.Record]", fence: int) -> None:
        """Handle all events, then wait for more.

        Raises ``Unavailable`` when the session has ended, because another replica may then hold the lock.
        """
        pause_s = FIRST_PAUSE_S
        while not session.is_closed():
            self._wake.clear()
            if await self._advance_with_retries(fence):
                pause_s = FIRST_PAUSE_S
                continue
            await asyncio.sleep(LEAST_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter
                    await self._wake.wait()
            pause_s = FIRST_PAUSE_S if self._wake.is_set() else min(pause_s * PAUSE_GROWTH, LAST_PAUSE_S)
        raise Unavailable("the session that holds the subscription's lock was lost")

    async def _advance_with_retries(self, fence: int) -> bool:
        """Run ``_advance``; repeat it while its failure is transient."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TRANSIENT),
            stop=stop_never,
            wait=wait_exponential_jitter(multiplier=0.1, max=MAX_BACK_OFF_S),
            before_sleep=self._log_retry,
            reraise=True,
        ):
            with attempt:
                return await self._advance(fence)
        raise AssertionError("tenacity ends only with an answer or an error")

    async def _advance(self, fence: int) -> bool:
        """Handle one batch. Return whether there may be more to handle at once.

        After a failed batch, the next ones have one event, two, four and so on. So the events before a faulty one are
        handled, and a batch that takes too long becomes smaller. Raises ``Fenced`` and ``TRANSIENT``.
        """
        try:
            handled = await self._handle_batch(fence)
        except Fenced:
            raise
        except TRANSIENT:
            self._limit = 1
            raise
        except Exception as error:  # noqa: BLE001 - recorded, and the subscription stops
            if self._limit > 1:
                self._limit = 1
                return True
            self._log.exception("subscription.failed", position=self._first_position)
            await self._record_failure(fence, error)
            return False
        self._limit = min(self._limit * 2, self._batch_size)
        return handled

    async def _handle_batch(self, fence: int) -> bool:
        self._first_position = None
        async with self._database.transaction() as connection:
            checkpoint = await checkpoints.read(connection, self._name, fence)
            if checkpoint.failed:
                return False
            page = await read_page(connection, checkpoint.cursor, limit=self._limit, types=self._types)
            if not page.rows:
                return False
            self._first_position = page.rows[0]["position"]
            await checkpoints.move(connection, self._name, fence, old=checkpoint.cursor, new=page.end)
            if events := page.events():
                await self._handler(connection, events)
        return True

    async def _record_failure(self, fence: int, error: Exception) -> None:
        place = "reading the log" if self._first_position is None else f"event at position {self._first_position}"
        text = f"{place}: {described(error)}"
        # Text in Postgres cannot hold lone surrogates or NUL.
        reason = text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")
        async with self._database.transaction() as connection:
            await checkpoints.fail(connection, self._name, fence, reason)

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._log.warning(
            "subscription.retried", attempt=state.attempt_number, reason=described(error) if error else None
        )


async def _keep_alive(session: "Session[asyncpg.Record]") -> None:
    """Query the lock's session every few seconds, so that Postgres does not end it as idle."""
    with suppress(Unavailable):  # `_follow` sees that the session is closed
        while not session.is_closed():
            with translated(session):
                await session.execute("SELECT 1")
            await asyncio.sleep(HEARTBEAT_S)
