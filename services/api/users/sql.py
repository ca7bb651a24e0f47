"""Statements about user accounts."""

import re
import unicodedata

import asyncpg

from chassis.postgres.database import Connection
from services.api.users.decider import Person

# Adds the first version of a new person with the next user id.
ADD_PERSON = """
INSERT INTO vault.person (person_id, version, name, email, roll_number)
VALUES (nextval('user_id_seq')::integer, $1, $2, $3, $4) RETURNING person_id
"""
# The account's row lock is held, so no other transaction adds the same version.
ADD_VERSION = """
INSERT INTO vault.person (person_id, version, name, email, roll_number) VALUES ($1, $2, $3, $4, $5)
"""

# Two index scans: users_identity_unique, and the primary key of credentials. ``account`` identifies the address in
# limits, whether or not the user exists.
SIGN_IN = """
SELECT k.account, u.user_id, u.name, u.email, u.role, u.active, u.password_version, c.password_hash
  FROM (SELECT identity_key($1) AS account) k
  LEFT JOIN users u ON identity_key(u.email) = k.account
  LEFT JOIN credentials c USING (user_id)
"""
GET = """
SELECT u.user_id, u.name, u.email, u.role, u.department, u.active, u.password_version, u.created_at, u.person_version,
       u.erased_at,
       s.roll_number, c.password_hash, identity_key(u.email) AS account
  FROM users u LEFT JOIN credentials c USING (user_id) LEFT JOIN students s ON s.student_id = u.user_id
 WHERE u.user_id = $1
"""
# Accounts of the placement cell, in the order of the primary key; there are few.
LIST = """
SELECT user_id, name, email, role, department, active, created_at FROM users
 WHERE role <> 'STUDENT' AND user_id > $1
   AND ($3::text IS NULL OR role = $3) AND ($4::text IS NULL OR name ILIKE $4 OR email ILIKE $4)
 ORDER BY user_id LIMIT $2
"""
LOCK = "SELECT FROM users WHERE user_id = $1 FOR UPDATE"
LOCK_ERASED = "SELECT erased_at IS NOT NULL FROM users WHERE user_id = $1 FOR UPDATE"
# A transaction that demotes or deactivates a head holds this lock until it ends, and counts the heads after taking it.
LOCK_HEADS = "SELECT lock_exclusive('heads')"
OTHER_HEADS = "SELECT count(*) FROM users WHERE role = 'HEAD' AND active AND user_id <> $1"
PUT_HASH = """
INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, changed_at = clock_timestamp()
"""
NOTIFY = "SELECT pg_notify($1, '')"


async def add_person(connection: Connection, person: Person) -> int:
    """Store the details of a new person in the vault. Return the person's id, which is the user id."""
    return int(await connection.fetchval(ADD_PERSON, *_values(person)))


async def add_version(connection: Connection, person_id: int, person: Person) -> None:
    """Store another version of a person's details in the vault. The caller has locked the account."""
    await connection.execute(ADD_VERSION, person_id, *_values(person))


async def by_email(connection: Connection, email: str) -> asyncpg.Record:
    """Return the account of an address, ignoring case. ``user_id`` is null when there is none."""
    row = await connection.fetchrow(SIGN_IN, email)
    assert row is not None
    return row


async def get(connection: Connection, user_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(GET, user_id)


async def list_page(
    connection: Connection, *, after: int, limit: int, role: str | None, search: str | None
) -> list[asyncpg.Record]:
    """Return accounts of the placement cell by id. ``search``: text in the name or e-mail address."""
    pattern = None if search is None else f"%{literally(unicodedata.normalize('NFC', search.strip()))}%"
    return await connection.fetch(LIST, after, limit, role, pattern)


def literally(text: str) -> str:
    """Return ``text`` with escapes, so that LIKE takes no character of it as a wildcard."""
    return re.sub(r"([\\%_])", r"\\\1", text)


async def locked(connection: Connection, user_id: int) -> asyncpg.Record | None:
    """Return the user, and lock the account until the transaction ends."""
    await connection.execute(LOCK, user_id)
    # A separate statement, so that its snapshot is taken after the lock was granted.
    return await get(connection, user_id)


async def lock_erased(connection: Connection, user_id: int) -> bool:
    """Lock the account until the transaction ends. Return whether the person was erased."""
    return bool(await connection.fetchval(LOCK_ERASED, user_id))


async def lock_heads(connection: Connection) -> None:
    await connection.execute(LOCK_HEADS)


async def other_heads(connection: Connection, user_id: int) -> int:
    """Return the number of active heads besides this user."""
    return int(await connection.fetchval(OTHER_HEADS, user_id))


async def put_password(connection: Connection, user_id: int, password_hash: str) -> None:
    await connection.execute(PUT_HASH, user_id, password_hash)


async def notify_access_changed(connection: Connection, channel: str) -> None:
    """Notify all replicas, in the transaction, that access changed. Such changes are rare."""
    await connection.execute(NOTIFY, channel)


def _values(person: Person) -> tuple[int, str, str, str | None]:
    return person.version, person.name, person.email, person.roll_number
