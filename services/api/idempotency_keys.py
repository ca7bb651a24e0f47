"""Statements for Idempotency-Key: claim a key, store what was committed under it, store the response."""

import hashlib
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from chassis.database import Connection
from chassis.errors import Invalid

# User, route and key.
KeyName: TypeAlias = tuple[int, str, str]

# used: the key has expired, and its command is in the log ($5: the id of its first event).
CLAIM_KEY = """
WITH claimed AS (
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, event_id)
    VALUES ($1, $2, $3, $4, 'null', $5)
    ON CONFLICT DO NOTHING RETURNING true
)
SELECT EXISTS (SELECT FROM claimed) AS claimed, EXISTS (SELECT FROM es.event WHERE event_id = $5) AS used
"""
READ_KEY = """
SELECT fingerprint, committed, answer, expired FROM idempotency_keys WHERE user_id = $1 AND route = $2 AND key = $3
"""
WAS_USED = "SELECT EXISTS (SELECT FROM es.event WHERE event_id = $1)"
KEEP_COMMITTED = "UPDATE idempotency_keys SET committed = $4 WHERE user_id = $1 AND route = $2 AND key = $3"
KEEP_ANSWER = """
UPDATE idempotency_keys SET answer = coalesce(answer, $4::jsonb)
 WHERE user_id = $1 AND route = $2 AND key = $3 AND NOT expired
RETURNING answer
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier request with the same key committed, and its response if stored."""

    committed: dict[str, Any]
    answer: dict[str, Any] | None


def fingerprint_of(asked: Any) -> bytes:
    """Return the SHA-256 of the complete request (JSON)."""
    return hashlib.sha256(orjson.dumps(asked, default=str, option=orjson.OPT_SORT_KEYS)).digest()


async def claim(transaction: Connection, name: KeyName, fingerprint: bytes, first_event_id: UUID) -> Kept | None:
    """Claim the key in the caller's transaction. Return what is stored under it; ``None`` when it is new.

    Waits for another request with the same key that has not committed yet. Raises ``Invalid`` when the key has expired,
    or was used with another fingerprint.
    """
    key = await transaction.fetchrow(CLAIM_KEY, *name, fingerprint, first_event_id)
    assert key is not None
    if key["claimed"]:
        if key["used"]:
            raise expired_key()
        return None
    kept = await transaction.fetchrow(READ_KEY, *name)
    if kept is None or kept["expired"]:
        raise expired_key()
    if kept["fingerprint"] != fingerprint:
        raise Invalid("This Idempotency-Key was used for another request. Use a new key.")
    return Kept(kept["committed"], kept["answer"])


async def keep_committed(transaction: Connection, name: KeyName, committed: str) -> None:
    """Store what the command commits, as JSON text, in the command's transaction."""
    await transaction.execute(KEEP_COMMITTED, *name, committed)


async def keep_answer(connection: Connection, name: KeyName, answer: dict[str, Any]) -> dict[str, Any] | None:
    """Store ``answer`` unless one is stored. Return the stored one; ``None`` when the key has expired."""
    first: dict[str, Any] | None = await connection.fetchval(KEEP_ANSWER, *name, orjson.dumps(answer).decode())
    return first


async def kept_fingerprint(connection: Connection, name: KeyName, first_event_id: UUID) -> bytes | None:
    """Return the fingerprint of the request that has committed under the key; ``None`` when there is none.

    Raises ``Invalid`` when the key has expired.
    """
    kept = await connection.fetchrow(READ_KEY, *name)
    if kept is not None and not kept["expired"]:
        return bytes(kept["fingerprint"])
    if kept is not None or await connection.fetchval(WAS_USED, first_event_id):
        raise expired_key()
    return None


def expired_key() -> Invalid:
    """Return the refusal (422) of a key whose stored response has expired."""
    return Invalid("This Idempotency-Key was used long ago, and its answer has expired. Use a new key.")
