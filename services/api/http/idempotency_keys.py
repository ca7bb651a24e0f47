"""Statements for Idempotency-Key: claim a key, store the command's result under it, store the response.

A body that shows personal data is stored only in the vault, with the ids of its people, so that it can be erased. A
body is deleted with its key. Fingerprints are keyed digests, so nobody can guess a request from its fingerprint.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from chassis.errors import Invalid
from chassis.postgres.database import Connection

# User, route and key.
KeyName: TypeAlias = tuple[int, str, str]

# used: the log has the first event under this key ($5). If the key could be claimed too, it has expired before.
CLAIM_KEY = """
WITH claimed AS (
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, event_id)
    VALUES ($1, $2, $3, $4, 'null', $5)
    ON CONFLICT DO NOTHING RETURNING true
)
SELECT EXISTS (SELECT FROM claimed) AS claimed, EXISTS (SELECT FROM es.event WHERE event_id = $5) AS used
"""
READ_KEY = """
SELECT k.fingerprint, k.committed, k.answer, k.expired, v.body
  FROM idempotency_keys k LEFT JOIN vault.kept_answer v USING (user_id, route, key)
 WHERE k.user_id = $1 AND k.route = $2 AND k.key = $3
"""
WAS_USED = "SELECT EXISTS (SELECT FROM es.event WHERE event_id = $1)"
STORE_RESULT = "UPDATE idempotency_keys SET committed = $4 WHERE user_id = $1 AND route = $2 AND key = $3"
STORE_PERSONAL_RESULT = """
WITH body AS (INSERT INTO vault.kept_answer (user_id, route, key, person_ids, body) VALUES ($1, $2, $3, $5, $6))
UPDATE idempotency_keys SET committed = $4 WHERE user_id = $1 AND route = $2 AND key = $3
"""
STORE_RESPONSE = """
UPDATE idempotency_keys SET answer = coalesce(answer, $4::jsonb)
 WHERE user_id = $1 AND route = $2 AND key = $3 AND NOT expired
RETURNING answer
"""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The result that an earlier request with the same key committed, and its response if stored.

    ``personal``: the body in the vault, if it is stored there.
    """

    committed: dict[str, Any]
    answer: dict[str, Any] | None
    personal: dict[str, Any] | None


def fingerprints_of(request_content: Any, secrets: Sequence[str]) -> list[bytes]:
    """Return the HMAC-SHA-256 of the whole request (JSON) under each secret, in the order of ``secrets``."""
    request = orjson.dumps(request_content, default=str, option=orjson.OPT_SORT_KEYS)
    keys = (hashlib.sha256(b"placewire requests " + secret.encode()).digest() for secret in secrets)
    return [hmac.digest(key, request, "sha256") for key in keys]


async def claim(
    transaction: Connection, name: KeyName, fingerprints: Sequence[bytes], first_event_id: UUID
) -> StoredResult | None:
    """Claim the key in the caller's transaction. Return what is stored under it; ``None`` when it is new.

    Waits for another request with the same key that has not committed yet. Raises ``Invalid`` when the key has expired,
    or was used with another fingerprint. The first of ``fingerprints`` is stored with a new key.
    """
    key = await transaction.fetchrow(CLAIM_KEY, *name, fingerprints[0], first_event_id)
    assert key is not None
    if key["claimed"]:
        if key["used"]:
            raise expired_key()
        return None
    stored = await transaction.fetchrow(READ_KEY, *name)
    if stored is None or stored["expired"]:
        raise expired_key()
    if stored["fingerprint"] not in fingerprints:
        raise Invalid("This Idempotency-Key was used for another request. Use a new key.")
    return StoredResult(stored["committed"], stored["answer"], stored["body"])


async def store_result(transaction: Connection, name: KeyName, committed: str) -> None:
    """Store the command's result, as JSON text, in the command's transaction."""
    await transaction.execute(STORE_RESULT, *name, committed)


async def store_personal_result(
    transaction: Connection, name: KeyName, committed: str, people: Sequence[int], body: str
) -> None:
    """Store ``committed`` under the key and ``body`` in the vault, as JSON text, in the command's transaction."""
    await transaction.execute(STORE_PERSONAL_RESULT, *name, committed, people, body)


async def store_response(connection: Connection, name: KeyName, answer: dict[str, Any]) -> dict[str, Any] | None:
    """Store ``answer`` unless a response is stored. Return the stored response; ``None`` when the key has expired."""
    first: dict[str, Any] | None = await connection.fetchval(STORE_RESPONSE, *name, orjson.dumps(answer).decode())
    return first


async def stored_fingerprint(connection: Connection, name: KeyName, first_event_id: UUID) -> bytes | None:
    """Return the fingerprint of the request that committed under the key; ``None`` if no request did.

    Raises ``Invalid`` when the key has expired.
    """
    stored = await connection.fetchrow(READ_KEY, *name)
    if stored is not None and not stored["expired"]:
        return bytes(stored["fingerprint"])
    if stored is not None or await connection.fetchval(WAS_USED, first_event_id):
        raise expired_key()
    return None


def expired_key() -> Invalid:
    """Return the error (422) for a key whose stored response has expired."""
    return Invalid("This Idempotency-Key was used long ago, and its response has expired. Use a new key.")
