"""An active head of the cell always remains, also when heads remove each other at the same moment."""

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


async def made(api: Api, email: str, headers: dict[str, str]) -> int:
    answer = await api.client.post("/api/users", json={**USER, "email": email}, headers=headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["user_id"])


async def heads(api: Api) -> list[int]:
    async with api.database.connection() as connection:
        return list(await connection.fetchval(HEADS))


async def removed(api: Api, how: str, by: int, whom: int) -> int:
    path = f"/api/users/{whom}" + ("" if how == "demote" else "/deactivate")
    body = {"role": "STAFF"} if how == "demote" else None
    method = "PATCH" if how == "demote" else "POST"
    return (await api.client.request(method, path, json=body, headers=signed_by(by))).status_code


@pytest.mark.parametrize("how", ["demote", "deactivate"])
async def test_two_heads_cannot_remove_each_other_at_once(api: Api, how: str) -> None:
    first = (await api.post("/api/users", json={**USER, "email": "first@college.edu"})).json()["user_id"]
    for number in range(ROUNDS):
        other = await made(api, f"{number}@college.edu", signed_by(first))
        codes = await asyncio.gather(removed(api, how, first, other), removed(api, how, other, first))
        assert codes.count(200) == 1, codes
        [first] = await heads(api)


async def test_the_last_head_stays(api: Api) -> None:
    only = (await api.post("/api/users", json={**USER, "email": "only@college.edu"})).json()["user_id"]
    assert (await api.patch(f"/api/users/{only}", json={"role": "STAFF"})).status_code == 409
    assert (await api.post(f"/api/users/{only}/deactivate")).status_code == 409
    await made(api, "second@college.edu", signed_by(only))
    own = await api.client.post(f"/api/users/{only}/deactivate", headers=signed_by(only))
    assert own.status_code == 409
    assert await removed(api, "demote", (await heads(api))[-1], only) == 200
