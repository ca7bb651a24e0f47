"""Concurrent changes of one account have the same outcome as changes one after the other."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest_asyncio

from tests.conftest import Api
from tests.support.signing_head import make_signing_head
from tests.support.sizes import sized

Owner = asyncpg.Connection
ROUNDS = sized(small=5, full=30)
OLD, OWN, RESET = "correct horse", "my own password", "a head's password"


@pytest_asyncio.fixture(autouse=True)
async def _unlimited(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """Raise the limit of wrong passwords, because these tests exceed it."""
    await make_signing_head(api, owner)
    for window in (api.app.state.throttle._accounts, api.app.state.throttle._sources):
        window._limit = 100_000


async def created_account(api: Api, number: int) -> tuple[int, str]:
    email = f"u{number}@college.edu"
    body = {"name": "Asha", "email": email, "role": "STAFF", "password": OLD}
    answer = await api.post("/api/users", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["user_id"]), email


async def login(api: Api, email: str, password: str) -> httpx.Response:
    return await api.client.post("/api/auth/login", json={"email": email, "password": password})


async def change(api: Api, token: str) -> httpx.Response:
    body = {"current_password": OLD, "new_password": OWN}
    return await api.client.post("/api/auth/password", json=body, headers={"Authorization": f"Bearer {token}"})


async def accept(api: Api, link: str, password: str) -> httpx.Response:
    body = {"token": link.rpartition("=")[2], "password": password}
    return await api.client.post("/api/auth/accept-invitation", json=body)


async def working_passwords(api: Api, email: str) -> list[str]:
    return [password for password in (OLD, OWN, RESET) if (await login(api, email, password)).status_code == 200]


async def test_a_password_change_does_not_undo_a_concurrent_reset(api: Api) -> None:
    for number in range(ROUNDS):
        user_id, email = await created_account(api, number)
        token = (await login(api, email, OLD)).json()["token"]
        reset, changed = await asyncio.gather(
            api.patch(f"/api/users/{user_id}", json={"password": RESET}), change(api, token)
        )
        assert reset.status_code == 200, reset.text
        assert changed.status_code in (200, 401, 403, 409), changed.text
        assert await working_passwords(api, email) == [RESET]


async def test_concurrent_changes_of_role_and_password_both_take_effect(api: Api) -> None:
    for number in range(5):
        user_id, email = await created_account(api, number)
        token = (await login(api, email, OLD)).json()["token"]
        role_change, changed = await asyncio.gather(
            api.patch(f"/api/users/{user_id}", json={"role": "COORDINATOR"}), change(api, token)
        )
        assert (role_change.status_code, changed.status_code) == (200, 200)
        signed = await login(api, email, OWN)
        assert signed.json()["user"]["role"] == "COORDINATOR"


async def test_a_link_is_accepted_at_most_once_while_it_is_replaced(api: Api) -> None:
    for number in range(ROUNDS):
        user_id, email = await created_account(api, number)
        path = f"/api/users/{user_id}/password-link"
        link = (await api.post(path)).json()["url"]
        first, second, replaced = await asyncio.gather(accept(api, link, OWN), accept(api, link, RESET), api.post(path))
        assert replaced.status_code == 201, replaced.text
        assert sorted((first.status_code, second.status_code))[-1] in (404, 410)
        expected = [password for answer, password in ((first, OWN), (second, RESET)) if answer.status_code == 200] or [
            OLD
        ]
        assert await working_passwords(api, email) == expected
        assert (await accept(api, link, OLD)).status_code in (404, 410)
        assert (await accept(api, replaced.json()["url"], OLD)).status_code == 200


async def test_accepting_a_link_does_not_undo_a_concurrent_deactivation(api: Api) -> None:
    for number in range(ROUNDS):
        user_id, email = await created_account(api, number)
        link = (await api.post(f"/api/users/{user_id}/password-link")).json()["url"]
        deactivated, accepted = await asyncio.gather(
            api.post(f"/api/users/{user_id}/deactivate"), accept(api, link, OWN)
        )
        assert deactivated.status_code == 200, deactivated.text
        assert accepted.status_code in (200, 404, 410), accepted.text
        assert await working_passwords(api, email) == []
        assert (await api.post(f"/api/users/{user_id}/reactivate")).status_code == 200
        assert await working_passwords(api, email) == ([OWN] if accepted.status_code == 200 else [OLD])


async def test_concurrent_activations_and_deactivations_end_in_the_state_of_the_last_event(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    user_id, _ = await created_account(api, 0)
    paths = ["deactivate", "reactivate"] * 5
    answers = await asyncio.gather(*(api.post(f"/api/users/{user_id}/{path}") for path in paths))
    assert {answer.status_code for answer in answers} == {200}
    last: Any = await owner.fetchval(
        "SELECT type FROM es.event WHERE stream_id = $1 ORDER BY version DESC LIMIT 1", f"user-{user_id}"
    )
    active = await owner.fetchval("SELECT active FROM users WHERE user_id = $1", user_id)
    assert active is (last != "placewire.user.deactivated.v1")


async def test_a_registration_during_a_deactivation_is_accepted_or_refused_as_a_whole(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    drive = {"company_name": "Acme", "job_title": "SDE", "min_cgpa": "6", "auto_calc": "true"}
    created = await api.post("/api/drives", json=drive)
    assert created.is_success, created.text
    drive_id = created.json()["drive_id"]
    for number in range(ROUNDS):
        body = {"name": "S", "email": f"s{number}@college.edu", "roll_number": f"R{number}", "cgpa": "9"}
        student_id = (await api.post("/api/students", json=body)).json()["student_id"]
        deactivated, registered = await asyncio.gather(
            api.post(f"/api/users/{student_id}/deactivate"),
            api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student_id),
        )
        assert deactivated.status_code == 200, deactivated.text
        stored = await owner.fetchval("SELECT count(*) FROM registrations WHERE student_id = $1", student_id)
        assert stored == int(registered.is_success), registered.text
        late = await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student_id)
        assert late.status_code == 401, late.text  # the process that changed the account knows it at once
