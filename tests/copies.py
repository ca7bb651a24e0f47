"""Copies of the migrated database, made and dropped by a thread beside the tests, which would wait for the disk."""

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit, urlunsplit

import asyncpg

TEMPLATE = "placewire_template"
# What a migration sets per role and database is not copied with a template.
SETTINGS = """
SELECT r.rolname, unnest(s.setconfig) AS setting FROM pg_db_role_setting s
  JOIN pg_database d ON d.oid = s.setdatabase JOIN pg_roles r ON r.oid = s.setrole WHERE d.datname = $1
"""


def named(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


class Copies:
    """Of ``TEMPLATE`` on the server at ``url``: the next one is made while a test uses the last."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copies")
        self._next = self._making()
        self._drops: list[Future[None]] = []

    async def take(self) -> str:
        """The superuser's address of a copy that nobody else has."""
        made, self._next = self._next, self._making()
        return named(self._url, await asyncio.wrap_future(made))

    def drop(self, url: str) -> None:
        """Some time soon, whoever is still connected to it."""
        self._drops.append(self._thread.submit(asyncio.run, _drop(self._url, urlsplit(url).path[1:])))

    def close(self) -> None:
        """The last one is left to the server, which goes with it. Raises what dropping the others raised."""
        self._thread.shutdown(wait=True)
        for dropped in self._drops:
            dropped.result()

    def _making(self) -> "Future[str]":
        return self._thread.submit(asyncio.run, _make(self._url))


async def _make(url: str) -> str:
    name = "t_" + os.urandom(6).hex()
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        async with admin.transaction():
            for row in await admin.fetch(SETTINGS, TEMPLATE):
                setting, _, value = row["setting"].partition("=")
                await admin.execute(f'ALTER ROLE "{row["rolname"]}" IN DATABASE "{name}" SET {setting} = \'{value}\'')
    finally:
        await admin.close()
    return name


async def _drop(url: str, name: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()
