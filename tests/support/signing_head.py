"""The head whose tokens tests sign: the API looks its callers up while a change of access is on its way."""

import asyncpg

from tests.conftest import Api
from tests.support.system import HEAD_ID


async def make_signing_head(api: Api, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await owner.execute(f"ALTER SEQUENCE user_id_seq RESTART {HEAD_ID}")
    body = {"name": "Head", "email": "signing@college.edu", "role": "HEAD", "password": "correct horse"}
    answer = await api.post("/api/users", json=body)
    assert answer.json()["user_id"] == HEAD_ID, answer.text
    await owner.execute("ALTER SEQUENCE user_id_seq RESTART 1")
