"""Check whether a server answers a real request. An open port or a running process is not enough."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

TIMEOUT_S = 2.0

T = TypeVar("T")


def postgres_answers(dsn: str) -> bool:
    """Return whether SELECT 1 succeeds. May be called inside a running event loop, which it blocks."""
    return run_in_own_loop(_select_one(dsn))


def kafka_answers(bootstrap_servers: str) -> bool:
    """Return whether the broker returns metadata that lists a broker. May be called inside a running event loop."""
    return run_in_own_loop(_has_a_broker(bootstrap_servers))


def run_in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` and return its result, even if the calling thread runs an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _select_one(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=TIMEOUT_S)
        try:
            return bool(await connection.fetchval("SELECT 1", timeout=TIMEOUT_S))
        finally:
            await connection.close(timeout=TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def _has_a_broker(bootstrap_servers: str) -> bool:
    if not await _accepts(bootstrap_servers):  # the client below would log an error
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=int(TIMEOUT_S * 1000))
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        return bool(cluster["brokers"])
    except (OSError, TimeoutError, KafkaError):
        return False
    finally:
        await admin.close()


async def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), TIMEOUT_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return True
