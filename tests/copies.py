"""Copies of the migrated database, one for each test that wants one."""

import os
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
    """Of ``TEMPLATE`` on the server at ``url``. Not made beside a test: meanwhile no reader of a log gets further."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def take(self) -> str:
        """The superuser's address of a copy that nobody else has."""
        return named(self._url, await _make(self._url))

    async def drop(self, url: str) -> None:
        """Whoever is still connected to it."""
        await _drop(self._url, urlsplit(url).path[1:])


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
