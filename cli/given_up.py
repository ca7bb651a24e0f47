"""What the command does with dead letters, one transaction after another."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from chassis import dead_letters, undecodable
from chassis.database import Connection, Database
from chassis.dead_letters import By, Which
from contracts.jobs import Service

Found = tuple[dict[str, Any], list[asyncpg.Record]]


class GivenUp:
    """Dead letters of the database at ``url``; ``actor`` and ``reason`` are kept with whatever is done to one."""

    def __init__(self, url: str, actor: str, reason: str | None) -> None:
        self._url = url
        self._by = By(actor, reason)

    async def letters(self, which: Which, most: int) -> tuple[list[asyncpg.Record], int]:
        """The newest, and how many there are in all."""
        async with self._transaction() as connection:
            count, _ = await dead_letters.count(connection, which)
            return await dead_letters.newest(connection, which, before=None, most=most), count

    async def records(self, service: Service | None, most: int) -> list[asyncpg.Record]:
        async with self._transaction() as connection:
            return await undecodable.newest(connection, service, before=None, most=most)

    async def one(self, id_: UUID | int) -> Found:
        """A job by its id, a record by its number. Raises ``NotFound``."""
        async with self._transaction() as connection:
            found = await (
                dead_letters.show(connection, id_) if isinstance(id_, UUID) else undecodable.show(connection, id_)
            )
        return dict(found[0]), found[1]

    async def redrive(self, id_: UUID | int) -> None:
        """Raises ``NotFound``, and ``Refused`` when it is not dead any more."""
        async with self._transaction() as connection:
            if isinstance(id_, UUID):
                taken = await dead_letters.redrive(connection, Which(id_), self._by)
                await dead_letters.require_taken(connection, id_, taken)
            else:
                await undecodable.redrive(connection, id_, self._by)

    async def discard(self, id_: UUID | int) -> None:
        """Raises ``NotFound``, and ``Refused`` when it is not dead any more."""
        async with self._transaction() as connection:
            if isinstance(id_, UUID):
                taken = await dead_letters.discard(connection, Which(id_), self._by)
                await dead_letters.require_taken(connection, id_, taken)
            else:
                await undecodable.discard(connection, id_, self._by)

    async def matching(self, which: Which) -> tuple[Which, int]:
        """Those that are dead now, and their number. What dies from now on, perhaps once more, is not among them."""
        async with self._transaction() as connection:
            count, moment = await dead_letters.count(connection, which)
        return replace(which, until=moment), count

    async def all(self, verb: str, which: Which, at_a_time: int, *, told: Callable[[int], None]) -> int:
        """``redrive`` or ``discard`` all of ``which``; ``told`` hears of each ``at_a_time``. Returns how many."""
        do = {"redrive": dead_letters.redrive, "discard": dead_letters.discard}[verb]
        done, left = 0, 1
        while left:
            async with self._transaction() as connection:
                taken = await do(connection, which, self._by, most=at_a_time)
                left, _ = await dead_letters.count(connection, which)
            done += len(taken)
            told(len(taken))
        return done

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        database = Database(self._url, pool_size=1, application_name="placewire-cli")
        try:
            async with database.transaction() as connection:
                yield connection
        finally:
            await database.close()
