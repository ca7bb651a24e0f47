"""A database as an earlier revision of the schema left it."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from alembic import command

from cli.local.settings import named
from migrations import runner


@asynccontextmanager
async def database_at(server_url: str, revision: str) -> AsyncIterator[str]:
    """The superuser's address of a new database at ``revision``, dropped after the block."""
    name = f"old_{uuid4().hex}"
    admin = await asyncpg.connect(server_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = named(server_url, name)
    config, sql = runner.alembic_config(), io.StringIO()
    config.output_buffer = sql
    command.upgrade(config, revision, sql=True)
    session = await asyncpg.connect(url)
    await session.execute(sql.getvalue())
    await session.close()
    yield url
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def migrate(url: str) -> None:
    """Bring the database to the newest revision."""
    await runner.migrate(url.replace("postgresql://", "postgresql+asyncpg://"))
