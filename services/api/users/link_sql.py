"""Statements about links that set a password. Only the SHA-256 of their tokens is stored."""

import asyncpg

from chassis.postgres.database import Connection

PUT = """
INSERT INTO password_links (user_id, token_sha256, expires_at)
VALUES ($1, $2, clock_timestamp() + make_interval(days => $3))
ON CONFLICT (user_id) DO UPDATE
   SET token_sha256 = excluded.token_sha256, created_at = clock_timestamp(), expires_at = excluded.expires_at,
       used_at = NULL
RETURNING expires_at
"""
USE = """
UPDATE password_links SET used_at = clock_timestamp()
 WHERE token_sha256 = $1 AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING user_id
"""
FIND = "SELECT user_id, used_at FROM password_links WHERE token_sha256 = $1"
END = "UPDATE password_links SET used_at = clock_timestamp() WHERE user_id = $1 AND used_at IS NULL"


async def put(connection: Connection, user_id: int, token_sha256: bytes, *, days: int) -> asyncpg.Record:
    """Store the account's new link in place of the previous one. Return its ``expires_at``."""
    row = await connection.fetchrow(PUT, user_id, token_sha256, days)
    assert row is not None
    return row


async def use(connection: Connection, token_sha256: bytes) -> int | None:
    """Mark the link as used and return its user. ``None``: the link is used or expired. Concurrent calls wait."""
    user_id: int | None = await connection.fetchval(USE, token_sha256)
    return user_id


async def find(connection: Connection, token_sha256: bytes) -> asyncpg.Record | None:
    return await connection.fetchrow(FIND, token_sha256)


async def end(connection: Connection, user_id: int) -> None:
    """Make the account's link unusable."""
    await connection.execute(END, user_id)
