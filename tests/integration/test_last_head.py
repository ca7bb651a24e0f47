"""The last active head cannot be removed, even when heads remove each other concurrently."""

import asyncio

import pytest

from chassis.tokens import Principal, issue_user_token
from contracts.users import Role
from tests.conftest import Api
from tests.support.sizes import sized
from tests.support.system import SECRET

USER = {"name": "Asha", "role": "HEAD", "password": "correct horse"}
HEADS = "SELECT array_agg(user_id) FROM users WHERE role = 'HEAD' AND active"
ROUNDS = sized(small=10, full=30)


def signed_by(user_id: int) -> dict[str, str]:
    token = issue_user_token(Principal(user_id, Role.HEAD, "H", "h@c.edu", 0), SECRET)
    return {"Authorization": f"Bearer {token}"}


async def created_head(api: Api, email: str, headers: dict[str, str]) -> int:
    answer = await api.client.post("/api/users", json={**USER, "email": email}, headers=headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["user_id"])


async def heads(api: Api) -> list[int]:
    async with api.database.connection() as connection:
        return list(await connection.fetchval(HEADS))


async def remove_head(api: Api, action: str, acting: int, target: int) -> int:
    path = f"/api/users/{target}" + ("" if action == "demote" else "/deactivate")
    body = {"role": "STAFF"} if action == "demote" else None
    method = "PATCH" if action == "demote" else "POST"
    return (await api.client.request(method, path, json=body, headers=signed_by(acting))).status_code


@pytest.mark.parametrize("action", ["demote", "deactivate"])
async def test_two_heads_cannot_remove_each_other_concurrently(api: Api, action: str) -> None:
    first = (await api.post("/api/users", json={**USER, "email": "first@college.edu"})).json()["user_id"]
    for number in range(ROUNDS):
        other = await created_head(api, f"{number}@college.edu", signed_by(first))
        codes = await asyncio.gather(remove_head(api, action, first, other), remove_head(api, action, other, first))
        assert codes.count(200) == 1, codes
        [first] = await heads(api)


async def test_the_last_head_cannot_be_removed(api: Api) -> None:
    last = (await api.post("/api/users", json={**USER, "email": "only@college.edu"})).json()["user_id"]
    assert (await api.patch(f"/api/users/{last}", json={"role": "STAFF"})).status_code == 409
    assert (await api.post(f"/api/users/{last}/deactivate")).status_code == 409
    await created_head(api, "second@college.edu", signed_by(last))
    own = await api.client.post(f"/api/users/{last}/deactivate", headers=signed_by(last))
    assert own.status_code == 409
    assert await remove_head(api, "demote", (await heads(api))[-1], last) == 200
