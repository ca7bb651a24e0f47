"""Every statement about people who sign in."""

import asyncpg

from chassis.database import Connection

NEXT_ID = "SELECT nextval('user_id_seq')::integer"

# Two index scans: users_identity_unique, and the primary key of credentials.
SIGN_IN = """
SELECT u.user_id, u.name, u.email, u.role, u.password_version, c.password_hash
  FROM users u LEFT JOIN credentials c USING (user_id) WHERE identity_key(u.email) = identity_key($1)
"""
GET = """
SELECT u.user_id, u.name, u.email, u.role, u.department, u.password_version, u.created_at, c.password_hash
  FROM users u LEFT JOIN credentials c USING (user_id) WHERE u.user_id = $1
"""
KEEP_HASH = """
INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, changed_at = clock_timestamp()
"""
TELL = "SELECT pg_notify($1, '')"


async def next_id(connection: Connection) -> int:
    return int(await connection.fetchval(NEXT_ID))


async def by_email(connection: Connection, email: str) -> asyncpg.Record | None:
    return await connection.fetchrow(SIGN_IN, email)


async def get(connection: Connection, user_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(GET, user_id)


async def put_password(connection: Connection, user_id: int, password_hash: str) -> None:
    await connection.execute(KEEP_HASH, user_id, password_hash)


async def tell_access_changed(connection: Connection, channel: str) -> None:
    """Inside the transaction: roles and passwords change rarely, and no replica may go on believing the old ones."""
    await connection.execute(TELL, channel)
