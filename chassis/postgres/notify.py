"""NOTIFY and LISTEN of Postgres, each on its own connection.

A NOTIFY inside an append's transaction locks the whole cluster at commit and halves the write rate (measured). So a
process collects its notifications and sends them together after the commit.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

from chassis.errors import Unavailable
from chassis.postgres.database import connect_alone, translated

# Notifies the relay that the outbox has rows.
OUTBOX = "placewire_outbox"
# Notifies processes that wait for a job; the payload is its id.
JOB = "placewire_job"

RECONNECT_S = 0.5
# The delay of a deferred notice. A notice that is deferred several times is sent once.
DEFERRED_S = 0.02
SEND = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS notice (channel, payload)"

log = structlog.get_logger()


class Notifier:
    """Collects notices and sends them together. A lost connection may lose notices, so listeners also poll."""

    def __init__(self, url: str, *, application_name: str) -> None:
        self._url = url
        self._name = application_name
        self._pending: set[tuple[str, str]] = set()
        self._deferred: set[tuple[str, str]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    def notify(self, channel: str, payload: str = "") -> None:
        """Notify the listeners of ``channel`` soon. Never blocks, never raises."""
        self._deferred.discard((channel, payload))
        self._pending.add((channel, payload))
        self._wake.set()

    def defer(self, channel: str, payload: str = "") -> None:
        """Notify the listeners of ``channel`` in ``DEFERRED_S``, unless the same notice is sent before.

        For notices that no client waits for. If sent at once, they would compete with the work that caused them.
        """
        if not self._deferred:
            if self._timer is not None:  # its notice was sent before the timer ran out
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(DEFERRED_S, self._send_deferred)
        self._deferred.add((channel, payload))

    async def flush(self) -> None:
        """Wait up to 1 s until all collected notices have been sent."""
        self._send_deferred()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self._pending or self._sending:
                    await asyncio.sleep(0.01)

    def _send_deferred(self) -> None:
        self._pending |= self._deferred
        self._deferred.clear()
        self._wake.set()

    async def run(self) -> None:
        """Send notices until cancelled."""
        while True:
            try:
                # Not durable: otherwise a notice would reach its listeners only after the commit is on disk.
                connection = await connect_alone(self._url, application_name=self._name, durable=False)
                try:
                    await self._send_forever(connection)
                finally:
                    await _close(connection)
            except Unavailable as error:
                log.warning("notify.interrupted", reason=str(error))
                await asyncio.sleep(RECONNECT_S)

    async def _send_forever(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._pending:
                continue
            batch, self._pending = self._pending, set()
            self._sending = batch
            try:
                with translated(connection):
                    await connection.execute(SEND, [channel for channel, _ in batch], [payload for _, payload in batch])
            finally:
                self._sending = set()


class Listener:
    """Calls ``on_notice(channel, payload)`` for each notice, and ``on_connected`` after each connection.

    Notices that are sent while ``connected`` is false are lost.
    """

    def __init__(
        self,
        url: str,
        channels: list[str],
        *,
        application_name: str,
        on_notice: Callable[[str, str], None],
        on_connected: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._channels = channels
        self._name = application_name
        self._on_notice = on_notice
        self._on_connected = on_connected
        self._on_lost = on_lost
        self.connected = False

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except Unavailable as error:
                log.warning("listen.interrupted", reason=str(error))
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        connection = await connect_alone(self._url, application_name=self._name)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            with translated(connection):
                for channel in self._channels:
                    await connection.add_listener(channel, self._receive)
            self.connected = True
            self._on_connected()
            await lost.wait()
        finally:
            self.connected = False
            self._on_lost()
            await _close(connection)

    def _receive(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._on_notice(channel, str(payload))


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    with suppress(Exception):  # the connection is discarded in any case
        await connection.close(timeout=2)
