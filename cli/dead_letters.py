"""List, redrive and discard dead letters for the command line. Each call uses its own transactions."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from chassis.jobs import dead_letters
from chassis.jobs.dead_letters import By, Which
from chassis.postgres.database import Connection, Database

JobAndHistory = tuple[dict[str, Any], list[asyncpg.Record]]


class DeadLetters:
    """The dead letters of the database at ``url``. ``actor`` and ``reason`` are recorded with each action."""

    def __init__(self, url: str, actor: str, reason: str | None) -> None:
        self._url = url
        self._by = By(actor, reason)

    async def letters(self, which: Which, limit: int) -> tuple[list[asyncpg.Record], int]:
        """Return the newest ``limit`` dead letters, and the number of all dead letters."""
        async with self._transaction() as connection:
            count, _ = await dead_letters.count(connection, which)
            return await dead_letters.newest(connection, which, before=None, limit=limit), count

    async def one(self, job_id: UUID) -> JobAndHistory:
        """Return a dead letter and its history. Raises ``NotFound``."""
        async with self._transaction() as connection:
            job_and_actions = await dead_letters.show(connection, job_id)
        return dict(job_and_actions[0]), job_and_actions[1]

    async def redrive(self, job_id: UUID) -> None:
        """Queue the job again. Raises ``NotFound``, or ``RuleViolation`` when the job is no longer a dead letter."""
        async with self._transaction() as connection:
            taken = await dead_letters.redrive(connection, Which(job_id), self._by)
            await dead_letters.require_taken(connection, job_id, taken)

    async def discard(self, job_id: UUID) -> None:
        """Remove the job from the list. Raises ``NotFound``, or ``RuleViolation`` if it is no longer a dead letter."""
        async with self._transaction() as connection:
            taken = await dead_letters.discard(connection, Which(job_id), self._by)
            await dead_letters.require_taken(connection, job_id, taken)

    async def matching(self, which: Which) -> tuple[Which, int]:
        """Return ``which``, limited to the present dead letters, and their number."""
        async with self._transaction() as connection:
            count, moment = await dead_letters.count(connection, which)
        return replace(which, until=moment), count

    async def all(self, verb: str, which: Which, batch_size: int, *, progress: Callable[[int], None]) -> int:
        """Redrive or discard (``verb``) every dead letter in ``which``. Return their number.

        Each transaction handles ``batch_size`` of them. ``progress`` is called with the number after each transaction.
        """
        action = {"redrive": dead_letters.redrive, "discard": dead_letters.discard}[verb]
        done, left = 0, 1
        while left:
            async with self._transaction() as connection:
                taken = await action(connection, which, self._by, limit=batch_size)
                left, _ = await dead_letters.count(connection, which)
            done += len(taken)
            progress(len(taken))
        return done

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        database = Database(self._url, pool_size=1, application_name="placewire-cli")
        try:
            async with database.transaction() as connection:
                yield connection
        finally:
            await database.close()
