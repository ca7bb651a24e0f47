"""One pool per process. Statements are SQL by hand on its asyncpg connections; this is the only commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg
import orjson
import structlog

from chassis import tracing
from chassis.errors import Contended, Exhausted, OutcomeUnknown, Unavailable
from chassis.watched_connection import WatchedConnection

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
else:
    Connection: TypeAlias = asyncpg.Connection

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 5.0
CHECKOUT_TIMEOUT_S = 10.0
# For a cancelled statement to end; a server that is frozen would take for ever.
RELEASE_TIMEOUT_S = 2.0

# SQLSTATE classes and codes: connection (08), resources (53), shutting down or starting (57P0x), read-only
# standby (25006). Source: PostgreSQL 18, appendix A.
_AWAY = ("08", "53", "57P01", "57P02", "57P03", "25006")
_EXHAUSTED = ("53100", "53200", "53400")
# The interface error: the connection was closed while it was being set up.
_NOT_CONNECTED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_LOST_TO_ANOTHER = ("40001", "40P01", "55P03")


class Database:
    """The process's pool of connections. Closed with ``close``."""

    def __init__(self, url: str, *, pool_size: int, application_name: str) -> None:
        self.url = url
        self._size = pool_size
        self._name = application_name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        # The pool's own queue lets newcomers overtake who waits: in a stampede, for as long as it lasts.
        self._turns = asyncio.Semaphore(pool_size)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection on which each statement is a transaction of its own.

        Raises ``Unavailable`` when there is none to be had, or when it is lost on the way.
        """
        async with self._checked_out() as driver:
            try:
                with translated(driver):
                    yield driver
            except BaseException as error:
                # A statement cut off midway (a cancelled request) leaves the connection in an unknown state; after a
                # failover an old one leads to a server that is read-only for good.
                if not _is_over(driver) and (isinstance(error, Unavailable) or driver.is_in_transaction()):
                    driver.terminate()
                raise

    @asynccontextmanager
    async def transaction(
        self,
        *,
        durable: bool = True,
        isolation: Literal["read_committed", "repeatable_read"] = "read_committed",
        readonly: bool = False,
    ) -> AsyncIterator[Connection]:
        """Commits when the block ends, rolls back when it raises.

        ``durable`` false: the commit does not wait for the disk; only for what the sweep would bring back.
        Raises ``Contended`` or ``Unavailable`` as the database decides; nothing is then written, unless it is
        ``OutcomeUnknown``: the connection may have been lost in the commit itself.
        """
        async with self.connection() as driver:
            failure: BaseException | None = None
            try:
                async with driver.transaction(isolation=isolation, readonly=readonly):
                    if not durable:
                        await driver.execute("SET LOCAL synchronous_commit = off")
                    try:
                        yield driver
                    except BaseException as error:
                        failure = error
                        raise
            except asyncpg.InterfaceError:
                # On a closed connection it is rolled back already: that it cannot be must not hide why.
                if failure is None or not _is_over(driver):
                    raise
                raise failure  # noqa: B904

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    def pool_use(self) -> tuple[int, int, int]:
        """Connections in use, connections open, and how many may be."""
        if self._pool is None:
            return 0, 0, self._size
        opened = self._pool.get_size()
        return opened - self._pool.get_idle_size(), opened, self._size

    @asynccontextmanager
    async def _checked_out(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        if self._turns.locked():
            await self._waited_for_a_turn()
        else:
            await self._turns.acquire()
        try:
            pool = self._pool or await self._opened()
            driver = await _acquired(pool)
            try:
                yield driver
            finally:
                await _given_back(pool, driver)
        finally:
            self._turns.release()

    async def _waited_for_a_turn(self) -> None:
        try:
            # Not wait_for: that of Python 3.11 can forget a cancellation, and the task would never end.
            async with asyncio.timeout(CHECKOUT_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("every connection to the database is in use") from error

    async def _opened(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The pool, made in the loop that uses it; it connects to nothing before that is asked for."""
        self._pool = asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            init=_set_codecs,
            reset=_nothing,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": self._name, "timezone": "UTC"},
            **tracing.of_connections(),
        )
        await self._pool
        return self._pool


async def _acquired(pool: "asyncpg.Pool[asyncpg.Record]") -> "PoolConnectionProxy[asyncpg.Record]":
    try:
        return await pool.acquire()
    except _NOT_CONNECTED as error:
        raise Unavailable("the database cannot be reached") from error


def _is_over(driver: Connection) -> bool:
    try:
        return driver.is_closed()
    except asyncpg.InterfaceError:
        return True  # so much that the pool has taken it back


async def _given_back(pool: "asyncpg.Pool[asyncpg.Record]", driver: "PoolConnectionProxy[asyncpg.Record]") -> None:
    try:
        await pool.release(driver, timeout=RELEASE_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        # While a cancelled statement ended; the pool has closed the connection. Why it was cancelled matters more.
        log.warning("database.connection_lost", reason=type(error).__name__)


async def _set_codecs(connection: Connection) -> None:
    # JSON text goes in, its value comes out.
    for type_ in ("json", "jsonb"):
        await connection.set_type_codec(type_, schema="pg_catalog", encoder=str, decoder=orjson.loads)


async def _nothing(_connection: Connection) -> None:
    """Instead of asyncpg's reset, a round trip each time: what a transaction set ends with it, and nobody listens."""


async def connect_alone(
    url: str, *, application_name: str, durable: bool = True
) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection outside the pool, for LISTEN, NOTIFY and session locks. Raises ``Unavailable``.

    ``durable`` false: no commit on it waits for the disk; only for what may be done again after a crash.
    """
    with translated():
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            connection_class=WatchedConnection,
            server_settings={
                "application_name": application_name,
                "timezone": "UTC",
                **({} if durable else {"synchronous_commit": "off"}),
            },
        )
    with translated(connection):
        await _set_codecs(connection)
    return connection


@contextmanager
def translated(driver: Any = None) -> Iterator[None]:
    """Turns the driver's errors into ours where their class is not yet the reaction; others pass."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state in _EXHAUSTED and driver is not None:
            raise Exhausted("the database has run out of something") from error
        if state.startswith(_AWAY):
            raise _lost(driver) from error
        if state in _LOST_TO_ANOTHER:
            raise Contended(str(error)) from error
        raise
    except asyncpg.InterfaceError as error:
        if driver is not None and _is_over(driver):
            raise _lost(driver) from error
        raise
    except (ConnectionError, TimeoutError, asyncpg.InternalClientError) as error:
        # The last: the server has ended the connection, and the driver is in the middle of taking note.
        raise _lost(driver) from error


def _lost(driver: Any) -> Unavailable:
    """A connection that was had and is gone may have taken a commit with it; one that never was has not."""
    if driver is not None and _is_over(driver):
        return OutcomeUnknown("the database connection was lost")
    return Unavailable("the database cannot be reached")
