"""Copies of a migrated database, one for each test that needs one. A copy in its original state is used again."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from cli.replay.projection import BEGINNING
from cli.replay.verification import Findings, ProgressCallbacks, Replay, replaying
from migrations import runner
from tests.support.as_made import Connection, State, Template

T = TypeVar("T")
APPLICATION = "placewire-tests"
SILENT = ProgressCallbacks(began=lambda _: None, projected=lambda _: None)
# After many uses, a copy has bloated catalogs, because each verification creates and drops temporary tables.
MAX_USES = 60
# Settings of a role in a database are not copied with a template.
SETTINGS = """
SELECT r.rolname, unnest(s.setconfig) AS setting FROM pg_db_role_setting s
  JOIN pg_database d ON d.oid = s.setdatabase JOIN pg_roles r ON r.oid = s.setrole WHERE d.datname = $1
"""
# Waits until the sessions have ended, so that their locks are released and their statistics are counted.
END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name <> $1 AND backend_type = 'client backend'
"""


def named(url: str, database: str) -> str:
    """Return the address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


class _Copy:
    """A copy and its open sessions."""

    def __init__(self, url: str, session: Connection, original: State) -> None:
        self.url = url
        self.session = session
        # Read from this copy, because the server may have analysed the template since it was read.
        self.original = original
        self.uses = 0
        self._kept = AsyncExitStack()
        self._replay: Replay | None = None

    async def verify(self) -> Findings:
        """Do what ``cli.replay.verification.verify`` does. Keep the sessions and temporary tables for the next call."""
        if self._replay is None or self._replay.reader.is_closed() or self._replay.projector.is_closed():
            await self._end_replay()
            self._replay = await self._kept.enter_async_context(replaying(self.url, APPLICATION))
        replay = self._replay
        replay.at = BEGINNING
        for table in replay.tables:
            await replay.projector.execute(f"DELETE FROM pg_temp.{table.name}")
        return await replay.compared(SILENT, limit=3)

    async def close(self) -> None:
        await self._end_replay()
        await self.session.close(timeout=5)

    async def _end_replay(self) -> None:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # a test may have ended the sessions
            await self._kept.aclose()


class Copies:
    """Copies of a migrated template database on the server at ``url``.

    Their sessions belong to an event loop in a separate thread, because the loop of a test ends with the test. Each
    process has its own template, because several processes may use the same server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._template = f"placewire_template_{os.getpid()}"
        self._loop = asyncio.new_event_loop()
        # `leftovers` recognises these threads by their name.
        self._loop.set_default_executor(ThreadPoolExecutor(2, thread_name_prefix="database-clones"))
        self._thread = threading.Thread(target=self._loop.run_forever, name="database-clones", daemon=True)
        self._thread.start()
        self._free: list[_Copy] = []
        self._taken: dict[str, _Copy] = {}

    async def take(self) -> str:
        """Return the superuser's address of a copy that no other test uses."""
        return await self._in_thread(self._take())

    async def give_back(self, url: str, *, verified: bool) -> Findings | None:
        """Keep the copy for the next test if its original state can be restored. Otherwise drop it.

        Returns the findings of ``verify`` if the copy was changed and ``verified`` is true.
        """
        return await self._in_thread(self._give_back(self._taken.pop(url), verified=verified))

    async def prepare(self) -> None:
        await self._in_thread(self._prepare())

    async def close(self) -> None:
        """Drop the copies and the template."""
        await self._in_thread(self._close())
        await self._in_thread(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def _in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _prepare(self) -> None:
        self._admin = await asyncpg.connect(self._url)
        await self._admin.execute(f'CREATE DATABASE "{self._template}"')
        url = named(self._url, self._template)
        await runner.migrate(url.replace("postgresql://", "postgresql+asyncpg://"))
        async with replaying(url, APPLICATION) as replay:
            findings = await replay.compared(SILENT, limit=3)
            assert not findings.differences, findings
        session = await asyncpg.connect(url)
        self._content = await Template.read(session)
        await session.close()

    async def _take(self) -> str:
        copy = self._free.pop() if self._free else await self._new()
        copy.uses += 1
        self._taken[copy.url] = copy
        return copy.url

    async def _new(self) -> _Copy:
        name = "t_" + os.urandom(6).hex()
        # FILE_COPY only copies files. The default also writes each page to the WAL, which takes ten times as long.
        await self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}" STRATEGY FILE_COPY')
        async with self._admin.transaction():
            for row in await self._admin.fetch(SETTINGS, self._template):
                setting, _, value = row["setting"].partition("=")
                await self._admin.execute(
                    f'ALTER ROLE "{row["rolname"]}" IN DATABASE "{name}" SET {setting} = \'{value}\''
                )
        url = named(self._url, name)
        session = await _session(url)
        original = await self._content.state_of(session)
        assert original is not None
        return _Copy(url, session, original)

    async def _give_back(self, copy: _Copy, *, verified: bool) -> Findings | None:
        if copy.session.is_closed():  # a test may have ended it
            copy.session = await _session(copy.url)
        await copy.session.execute("RESET ALL")
        await copy.session.fetch(END_OTHERS, APPLICATION)
        current = await self._content.state_of(copy.session)
        if current == copy.original:
            self._free.append(copy)
            return None
        findings = await copy.verify() if verified else None
        sound = findings is not None and not findings.differences
        if not sound or current is None or copy.uses >= MAX_USES:
            await self._drop(copy)
        elif await self._content.restore(copy.session, current, copy.original):
            self._free.append(copy)
        else:
            await self._drop(copy)
        return findings

    async def _drop(self, copy: _Copy) -> None:
        await copy.close()
        await self._admin.execute(f'DROP DATABASE "{urlsplit(copy.url).path[1:]}" WITH (FORCE)')

    async def _close(self) -> None:
        for copy in [*self._free, *self._taken.values()]:
            await self._drop(copy)
        await self._admin.execute(f'DROP DATABASE "{self._template}" WITH (FORCE)')
        await self._admin.close()


async def _session(url: str) -> Connection:
    return await asyncpg.connect(url, server_settings={"application_name": APPLICATION, "jit": "off"})
