"""Create the account of the head for whom tests sign tokens.

The API looks up its callers while a notification of changed access is missing, so they need an account.
"""

import asyncpg

from tests.conftest import Api
from tests.support.system import HEAD_ID


async def make_signing_head(api: Api, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await owner.execute(f"ALTER SEQUENCE user_id_seq RESTART {HEAD_ID}")
    body = {"name": "Head", "email": "signing@college.edu", "role": "HEAD", "password": "correct horse"}
    answer = await api.post("/api/users", json=body)
    assert answer.json()["user_id"] == HEAD_ID, answer.text
    await owner.execute("ALTER SEQUENCE user_id_seq RESTART 1")
