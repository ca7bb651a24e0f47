"""One engine per process. Statements are SQL by hand on the asyncpg connection inside it; this is the only commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg
import orjson
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chassis import tracing
from chassis.errors import Contended, OutcomeUnknown, Unavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
else:
    Connection: TypeAlias = asyncpg.Connection

CONNECT_TIMEOUT_S = 5.0
CHECKOUT_TIMEOUT_S = 10.0

# SQLSTATE classes and codes: connection (08), resources (53), shutting down or starting (57P0x), read-only
# standby (25006). Source: PostgreSQL 18, appendix A.
_AWAY = ("08", "53", "57P01", "57P02", "57P03", "25006")
_LOST_TO_ANOTHER = ("40001", "40P01", "55P03")


class Database:
    """The process's pool of connections. Closed with ``close``."""

    def __init__(self, url: str, *, pool_size: int, application_name: str) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=CHECKOUT_TIMEOUT_S,
            pool_use_lifo=True,
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "server_settings": {"application_name": application_name, "timezone": "UTC"},
                **tracing.of_connections(),
            },
        )
        # The pool's own queue lets newcomers overtake who waits: in a stampede, for as long as it lasts.
        self._turns = asyncio.Semaphore(pool_size)
        self.url = url

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection on which each statement is a transaction of its own.

        Raises ``Unavailable`` when there is none to be had, or when it is lost on the way.
        """
        async with self._checked_out() as pooled:
            driver = await _driver_of(pooled)
            try:
                with translated(driver):
                    yield driver
            except BaseException as error:
                # A statement cut off midway (a cancelled request) leaves the connection in an unknown state; after a
                # failover an old one leads to a server that is read-only for good.
                if isinstance(error, Unavailable) or driver.is_closed() or driver.is_in_transaction():
                    await pooled.invalidate()
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
            transaction = driver.transaction(isolation=isolation, readonly=readonly)
            await transaction.start()
            try:
                if not durable:
                    await driver.execute("SET LOCAL synchronous_commit = off")
                yield driver
            except BaseException:
                # Closed, it is rolled back already; to say so would hide why.
                if not driver.is_closed():
                    await transaction.rollback()
                raise
            await transaction.commit()

    async def close(self) -> None:
        await self._engine.dispose()

    def pool_use(self) -> tuple[int, int, int]:
        """Connections in use, connections open, and how many may be."""
        pool: Any = self._engine.sync_engine.pool
        return pool.checkedout(), pool.checkedout() + pool.checkedin(), pool.size()

    @asynccontextmanager
    async def _checked_out(self) -> AsyncIterator[AsyncConnection]:
        try:
            # Not wait_for: that of Python 3.11 can forget a cancellation, and the task would never end.
            async with asyncio.timeout(CHECKOUT_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("every connection to the database is in use") from error
        try:
            async with self._connected() as pooled:
                yield pooled
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        try:
            pooled = await self._engine.connect()
            # A server restart closes idle connections; the driver has noticed, the pool has not.
            while (await _driver_of(pooled)).is_closed():
                await pooled.invalidate()
                await pooled.close()
                pooled = await self._engine.connect()
        except (DBAPIError, PoolTimeout, OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise Unavailable("the database cannot be reached") from error
        try:
            yield pooled
        finally:
            await pooled.close()


async def _driver_of(pooled: AsyncConnection) -> Any:
    return (await pooled.get_raw_connection()).driver_connection


async def connect_alone(url: str, *, application_name: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection outside the pool, for LISTEN, NOTIFY and session locks. Raises ``Unavailable``."""
    with translated():
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": application_name, "timezone": "UTC"},
        )
        # As on the pool's connections: JSON text goes in, its value comes out.
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)
        return connection


@contextmanager
def translated(driver: Any = None) -> Iterator[None]:
    """Turns the driver's errors into ours where their class is not yet the reaction; others pass."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state.startswith(_AWAY):
            raise _lost(driver) from error
        if state in _LOST_TO_ANOTHER:
            raise Contended(str(error)) from error
        raise
    except asyncpg.InterfaceError as error:
        if driver is not None and driver.is_closed():
            raise _lost(driver) from error
        raise
    except (ConnectionError, TimeoutError, asyncpg.InternalClientError) as error:
        # The last: the server has ended the connection, and the driver is in the middle of taking note.
        raise _lost(driver) from error


def _lost(driver: Any) -> Unavailable:
    """A connection that was had and is gone may have taken a commit with it; one that never was has not."""
    if driver is not None and driver.is_closed():
        return OutcomeUnknown("the database connection was lost")
    return Unavailable("the database cannot be reached")
