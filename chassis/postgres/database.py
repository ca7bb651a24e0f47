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
# 25006: a standby, or a session of a closed log. ES003, ES004: raised by an append (es.enter_log).
_CLOSED = ReadOnly, "the database accepts no changes: its log is closed, or it is a standby"
_LOG_ERRORS: dict[str, tuple[type[Unavailable], str]] = {
    "25006": _CLOSED,
    "ES003": _CLOSED,
    "ES004": (LogNotAdopted, "the log must be adopted first: run `placewire adopt-log`"),
}
_EXHAUSTED = ("53100", "53200", "53400")
# InterfaceError: the connection was closed while it was being set up.
_NOT_CONNECTED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_CONFLICTS = ("40001", "40P01", "55P03")


class Database:
    """The process's pool of connections. Call ``close`` when done."""

    def __init__(self, url: str, *, pool_size: int, application_name: str) -> None:
        self.url = url
        self._size = pool_size
        self._name = application_name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        # asyncpg's pool lets new callers overtake waiting ones, so in an overload some would wait without end.
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
        Raises ``Contended`` or ``Unavailable``. Nothing is written then, except perhaps with ``OutcomeUnknown``: the
        connection may have been lost during the commit.
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
                # On a closed connection the rollback fails too. Its error must not hide the first error. Nor may any
                # error hide a cancellation, because the task would continue.
                if failure is None or (isinstance(failure, Exception) and not _is_closed(driver)):
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
        """Take a connection from the pool. Only ``connection`` calls this. ``give_back`` must always follow."""
        if self._turns.locked():
            await self._wait_for_turn()
        else:
            await self._turns.acquire()
        try:
            return await _acquire(self._pool or await self._open_pool())
        except BaseException:
            self._turns.release()
            raise

    async def give_back(self, driver: "PoolConnectionProxy[asyncpg.Record]") -> None:
        assert self._pool is not None
        try:
            await self._pool.release(driver, timeout=RELEASE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
            # A cancelled statement did not end in time, and the pool closed the connection. The caller's error stays.
            log.warning("database.connection_lost", reason=type(error).__name__)
        finally:
            self._turns.release()

    async def _wait_for_turn(self) -> None:
        try:
            # Not asyncio.wait_for: in Python 3.11 it can lose a cancellation, and the task would never end.
            async with asyncio.timeout(CHECKOUT_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("every connection to the database is in use") from error

    async def _open_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """Create the pool in the event loop that uses it. The pool connects on first use."""
        self._pool = asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            init=_prepare,
            reset=_skip_reset,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": self._name, "timezone": "UTC"},
            **tracing.connection_options(),
        )
        await self._pool
        return self._pool


class _Checkout:
    """Takes a connection from the pool for a block. Not a generator: generators cost a tenth of a request's time."""

    __slots__ = ("_database", "_driver")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> Connection:
        self._driver = await self._database.check_out()
        return self._driver

    async def __aexit__(self, _: object, error: BaseException | None, _traceback: object) -> None:
        driver, converted = self._driver, None
        try:
            if error is not None:
                converted = _converted(error, driver)
                # A cancelled request leaves the connection in an unknown state. After a failover, an old connection may
                # lead to a server that stays read-only.
                if not _is_closed(driver) and (isinstance(converted, Unavailable) or driver.is_in_transaction()):
                    driver.terminate()
        finally:
            await self._database.give_back(driver)
        if converted is not None and converted is not error:
            raise converted from error


async def _acquire(pool: "asyncpg.Pool[asyncpg.Record]") -> "PoolConnectionProxy[asyncpg.Record]":
    try:
        return await pool.acquire()
    except _NOT_CONNECTED as error:
        raise Unavailable("the database cannot be reached") from error


def _is_closed(driver: Connection) -> bool:
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


async def _skip_reset(_connection: Connection) -> None:
    """Replace asyncpg's reset, which costs a round trip. Settings end with their transaction; nothing here listens."""


async def connect_alone(
    url: str, *, application_name: str, durable: bool = True, adopted: bool = True
) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection outside the pool, for LISTEN, NOTIFY and session locks. Raises ``Unavailable``.

    ``durable`` false: its commits do not wait for the disk, so a crash may lose them.
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
    """Convert the driver's errors to the classes of ``chassis.errors``. Other errors pass unchanged."""
    try:
        yield
    except Exception as error:
        converted = _converted(error, driver)
        if converted is error:
            raise
        raise converted from error


def _converted(error: BaseException, driver: Any) -> BaseException:
    """Return the error of ``chassis.errors`` for the driver's ``error``. Return other errors unchanged."""
    match error:
        case asyncpg.PostgresError():
            state = error.sqlstate or ""
            if state in _EXHAUSTED and driver is not None:
                return Exhausted("the database is out of memory or disk space, or reached a limit")
            if state.startswith(_AWAY):
                return _lost(driver)
            return _from_sqlstate(state, error)
        case asyncpg.InterfaceError():
            return _lost(driver) if driver is not None and _is_closed(driver) else error
        case ConnectionError() | TimeoutError() | asyncpg.InternalClientError():
            # InternalClientError: the server has ended the connection, and the driver is still processing that.
            return _lost(driver)
    return error


def _from_sqlstate(state: str, error: asyncpg.PostgresError) -> Exception:
    if state in _LOG_ERRORS:
        class_, text = _LOG_ERRORS[state]
        return class_(text)
    return Contended(described(error)) if state in _CONFLICTS else error


def _lost(driver: Any) -> Unavailable:
    """Return the error for a lost connection. If it was ever established, its last commit may have succeeded."""
    if driver is not None and _is_closed(driver):
        return OutcomeUnknown("the database connection was lost")
    return Unavailable("the database cannot be reached")
