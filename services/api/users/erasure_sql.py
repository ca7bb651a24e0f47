"""Statements about erased people. What is deleted: migrations/functions/vault.erase_person.sql."""

import asyncpg

from chassis.postgres.database import Connection

ERASE = "SELECT vault.erase_person($1)"
COUNTS = "SELECT * FROM vault.personal_data_of($1)"


async def counts(connection: Connection, person_id: int) -> asyncpg.Record:
    """Return how many rows and files of each kind an erasure would delete."""
    row = await connection.fetchrow(COUNTS, person_id)
    assert row is not None
    return row


async def erase(connection: Connection, person_id: int) -> bool:
    """Delete a person's data outside the log. Return false if it was deleted before.

    The caller must lock the account before, and append ``PersonErased`` in the same transaction.
    """
    return bool(await connection.fetchval(ERASE, person_id))
