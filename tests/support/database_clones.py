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


TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
ROWS = "SELECT '{table}' AS name, md5(string_agg(t::text, chr(10) ORDER BY t::text)) AS rows FROM {table} t"


def named(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


class Copies:
    """Of ``TEMPLATE`` on the server at ``url``. Not made beside a test: meanwhile no reader of a log gets further."""

    def __init__(self, url: str, contents: dict[str, str | None]) -> None:
        """``contents``: of the template."""
        self._url = url
        self._contents = contents

    async def is_as_made(self, url: str) -> bool:
        """Return whether each table of a copy holds exactly the rows that the template holds."""
        return await contents(url) == self._contents

    async def take(self) -> str:
        """The superuser's address of a copy that nobody else has."""
        return named(self._url, await _make(self._url))

    async def drop(self, url: str) -> None:
        """Drop the database, even with open connections."""
        await _drop(self._url, urlsplit(url).path[1:])


async def contents(url: str) -> dict[str, str | None]:
    """Return a digest of the rows of each table, ``None`` for an empty one."""
    connection = await asyncpg.connect(url)
    try:
        tables = [row[0] for row in await connection.fetch(TABLES)]
        found = await connection.fetch(" UNION ALL ".join(ROWS.format(table=table) for table in tables))
    finally:
        await connection.close()
    return {row["name"]: row["rows"] for row in found}


async def _make(url: str) -> str:
    name = "t_" + os.urandom(6).hex()
    admin = await asyncpg.connect(url)
    try:
        # The files are copied: the default writes each page to the WAL as well, ten times the work (measured).
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')
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
