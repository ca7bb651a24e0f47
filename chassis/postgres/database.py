"""The pool of connections to Postgres, one per process. Only its transactions commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg
import orjson
import structlog

from chassis.errors import Contended, Exhausted, LogNotAdopted, OutcomeUnknown, ReadOnly, Unavailable
from chassis.eventstore import log_guard
from chassis.observability import tracing
from chassis.observability.error_text import described
from chassis.postgres.watched_connection import WatchedConnection

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
else:
    Connection: TypeAlias = asyncpg.Connection

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 5.0
CHECKOUT_TIMEOUT_S = 10.0
# How long a cancelled statement may take to end: a frozen server would never answer.
RELEASE_TIMEOUT_S = 2.0

# SQLSTATE classes and codes: connection (08), resources (53), shutting down or starting (57P0x). Source: PostgreSQL 18,
# appendix A.
_AWAY = ("08", "53", "57P01", "57P02", "57P03")
# 25006: a standby, or a session of a closed log. ES003, ES004: an append (es.enter_log).
_CLOSED = ReadOnly, "the database accepts no changes: its log is closed, or it is a standby"
_OF_LOG: dict[str, tuple[type[Unavailable], str]] = {
    "25006": _CLOSED,
    "ES003": _CLOSED,
    "ES004": (LogNotAdopted, "the log must be adopted first: run `placewire adopt-log`"),
}
_EXHAUSTED = ("53100", "53200", "53400")
# The interface error: the connection was closed while it was being set up.
_NOT_CONNECTED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_LOST_TO_ANOTHER = ("40001", "40P01", "55P03")


class Database:
    """The process's pool of connections. Call ``close`` in the end."""

    def __init__(self, url: str, *, pool_size: int, application_name: str) -> None:
        self.url = url
        self._size = pool_size
        self._name = application_name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        # The pool's own queue lets new callers overtake waiting ones, in an overload without end.
        self._turns = asyncio.Semaphore(pool_size)

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Yield a connection on which each statement is its own transaction.

        Raises ``Unavailable`` when no connection is available, or when it is lost.
        """
        return _Checkout(self)

    @asynccontextmanager
    async def transaction(
        self,
        *,
        durable: bool = True,
        isolation: Literal["read_committed", "repeatable_read"] = "read_committed",
        readonly: bool = False,
    ) -> AsyncIterator[Connection]:
        """Yield a connection in a transaction. Commits when the block ends; rolls back when it raises.

        ``durable`` false: the commit does not wait for the disk, so a crash may lose it.
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
            except (asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError, OSError):
                # On a closed connection it is rolled back already: that it cannot be must not hide why. Nor must
                # anything hide that the task was cancelled: it would go on.
                if failure is None or (isinstance(failure, Exception) and not _is_over(driver)):
                    raise
                raise failure  # noqa: B904

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    def pool_use(self) -> tuple[int, int, int]:
        """Return the numbers of connections in use, of open ones, and of allowed ones."""
        if self._pool is None:
            return 0, 0, self._size
        opened = self._pool.get_size()
        return opened - self._pool.get_idle_size(), opened, self._size

    async def check_out(self) -> "PoolConnectionProxy[asyncpg.Record]":
        """Take a connection, only for ``connection``. ``give_back`` must always follow."""
        if self._turns.locked():
            await self._waited_for_a_turn()
        else:
            await self._turns.acquire()
        try:
            return await _acquired(self._pool or await self._opened())
        except BaseException:
            self._turns.release()
            raise

    async def give_back(self, driver: "PoolConnectionProxy[asyncpg.Record]") -> None:
        assert self._pool is not None
        try:
            await self._pool.release(driver, timeout=RELEASE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
            # While a cancelled statement ended; the pool has closed the connection. Why it was cancelled matters more.
            log.warning("database.connection_lost", reason=type(error).__name__)
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
        """Return the pool, created in the event loop that uses it. It connects on first use."""
        self._pool = asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            init=_prepare,
            reset=_nothing,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": self._name, "timezone": "UTC"},
            **tracing.connection_options(),
        )
        await self._pool
        return self._pool


class _Checkout:
    """A connection of the pool. Not a generator: nested generators cost a tenth of a request's time."""

    __slots__ = ("_database", "_driver")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> Connection:
        self._driver = await self._database.check_out()
        return self._driver

    async def __aexit__(self, _: object, error: BaseException | None, _traceback: object) -> None:
        driver, ours = self._driver, None
        try:
            if error is not None:
                ours = _in_our_terms(error, driver)
                # A statement cut off midway (a cancelled request) leaves the connection in an unknown state; after a
                # failover an old one leads to a server that is read-only for good.
                if not _is_over(driver) and (isinstance(ours, Unavailable) or driver.is_in_transaction()):
                    driver.terminate()
        finally:
            await self._database.give_back(driver)
        if ours is not None and ours is not error:
            raise ours from error


async def _acquired(pool: "asyncpg.Pool[asyncpg.Record]") -> "PoolConnectionProxy[asyncpg.Record]":
    try:
        return await pool.acquire()
    except _NOT_CONNECTED as error:
        raise Unavailable("the database cannot be reached") from error


def _is_over(driver: Connection) -> bool:
    try:
        return driver.is_closed()
    except asyncpg.InterfaceError:
        return True  # the pool has taken it back


async def _prepare(connection: Connection) -> None:
    await _set_codecs(connection)
    await log_guard.require_adopted(connection)


async def _set_codecs(connection: Connection) -> None:
    # Parameters are JSON text; results are parsed values.
    for type_ in ("json", "jsonb"):
        await connection.set_type_codec(type_, schema="pg_catalog", encoder=str, decoder=orjson.loads)


async def _nothing(_connection: Connection) -> None:
    """Do nothing. asyncpg's reset costs a round trip; settings end with their transaction, and nothing listens."""


async def connect_alone(
    url: str, *, application_name: str, durable: bool = True, adopted: bool = True
) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection outside the pool, for LISTEN, NOTIFY and session locks. Raises ``Unavailable``.

    ``durable`` false: no commit on it waits for the disk, so a crash may lose it.
    ``adopted`` false: also connects to a log that must be adopted first, to inspect it.
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
    try:
        with translated(connection):
            await (_prepare if adopted else _set_codecs)(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


@contextmanager
def translated(driver: Any = None) -> Iterator[None]:
    """Convert the driver's errors to our classes, which decide the reaction. Other errors pass."""
    try:
        yield
    except Exception as error:
        ours = _in_our_terms(error, driver)
        if ours is error:
            raise
        raise ours from error


def _in_our_terms(error: BaseException, driver: Any) -> BaseException:
    """Return our error for the driver's ``error``; the error itself when there is none."""
    match error:
        case asyncpg.PostgresError():
            state = error.sqlstate or ""
            if state in _EXHAUSTED and driver is not None:
                return Exhausted("the database has run out of something")
            if state.startswith(_AWAY):
                return _lost(driver)
            return _of_state(state, error)
        case asyncpg.InterfaceError():
            return _lost(driver) if driver is not None and _is_over(driver) else error
        case ConnectionError() | TimeoutError() | asyncpg.InternalClientError():
            # The last one: the server has ended the connection, and the driver is just processing that.
            return _lost(driver)
    return error


def _of_state(state: str, error: asyncpg.PostgresError) -> Exception:
    if state in _OF_LOG:
        class_, text = _OF_LOG[state]
        return class_(text)
    return Contended(described(error)) if state in _LOST_TO_ANOTHER else error


def _lost(driver: Any) -> Unavailable:
    """Return the error for a lost connection: its last commit may have succeeded, if it was ever established."""
    if driver is not None and _is_over(driver):
        return OutcomeUnknown("the database connection was lost")
    return Unavailable("the database cannot be reached")
