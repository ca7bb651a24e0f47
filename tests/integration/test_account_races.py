"""Two changes of one account at the same moment: one of them wins, and nothing of the other stays."""

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
    """Rounds sign in more often with wrong passwords than a person may."""
    await make_signing_head(api, owner)
    for window in (api.app.state.throttle._accounts, api.app.state.throttle._sources):
        window._limit = 100_000


async def made(api: Api, number: int) -> tuple[int, str]:
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


async def works(api: Api, email: str) -> list[str]:
    return [password for password in (OLD, OWN, RESET) if (await login(api, email, password)).status_code == 200]


async def test_a_heads_reset_is_never_undone_by_a_change_that_checked_the_old_password(api: Api) -> None:
    for number in range(ROUNDS):
        user_id, email = await made(api, number)
        token = (await login(api, email, OLD)).json()["token"]
        reset, changed = await asyncio.gather(
            api.patch(f"/api/users/{user_id}", json={"password": RESET}), change(api, token)
        )
        assert reset.status_code == 200, reset.text
        assert changed.status_code in (200, 401, 403, 409), changed.text
        assert await works(api, email) == [RESET]


async def test_a_role_and_a_password_changed_at_once_are_both_kept(api: Api) -> None:
    for number in range(5):
        user_id, email = await made(api, number)
        token = (await login(api, email, OLD)).json()["token"]
        other, changed = await asyncio.gather(
            api.patch(f"/api/users/{user_id}", json={"role": "COORDINATOR"}), change(api, token)
        )
        assert (other.status_code, changed.status_code) == (200, 200)
        signed = await login(api, email, OWN)
        assert signed.json()["user"]["role"] == "COORDINATOR"


async def test_a_link_is_replaced_or_accepted_and_of_two_acceptances_one_wins(api: Api) -> None:
    for number in range(ROUNDS):
        user_id, email = await made(api, number)
        path = f"/api/users/{user_id}/password-link"
        link = (await api.post(path)).json()["url"]
        one, other, replaced = await asyncio.gather(accept(api, link, OWN), accept(api, link, RESET), api.post(path))
        assert replaced.status_code == 201, replaced.text
        assert sorted((one.status_code, other.status_code))[-1] in (404, 410)
        expected = [password for answer, password in ((one, OWN), (other, RESET)) if answer.status_code == 200] or [OLD]
        assert await works(api, email) == expected
        assert (await accept(api, link, OLD)).status_code in (404, 410)
        assert (await accept(api, replaced.json()["url"], OLD)).status_code == 200


async def test_an_account_that_is_deactivated_while_its_link_is_accepted_stays_deactivated(api: Api) -> None:
    for number in range(ROUNDS):
        user_id, email = await made(api, number)
        link = (await api.post(f"/api/users/{user_id}/password-link")).json()["url"]
        gone, accepted = await asyncio.gather(api.post(f"/api/users/{user_id}/deactivate"), accept(api, link, OWN))
        assert gone.status_code == 200, gone.text
        assert accepted.status_code in (200, 404, 410), accepted.text
        assert await works(api, email) == []
        assert (await api.post(f"/api/users/{user_id}/reactivate")).status_code == 200
        assert await works(api, email) == ([OWN] if accepted.status_code == 200 else [OLD])


async def test_reactivations_and_deactivations_that_cross_end_in_what_the_log_says(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    user_id, _ = await made(api, 0)
    paths = ["deactivate", "reactivate"] * 5
    answers = await asyncio.gather(*(api.post(f"/api/users/{user_id}/{path}") for path in paths))
    assert {answer.status_code for answer in answers} == {200}
    last: Any = await owner.fetchval(
        "SELECT type FROM es.event WHERE stream_id = $1 ORDER BY version DESC LIMIT 1", f"user-{user_id}"
    )
    active = await owner.fetchval("SELECT active FROM users WHERE user_id = $1", user_id)
    assert active is (last != "placewire.user.deactivated.v1")


async def test_a_student_who_is_deactivated_while_registering_has_one_of_two_outcomes(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    drive = {"company_name": "Acme", "job_title": "SDE", "min_cgpa": "6", "auto_calc": "true"}
    created = await api.post("/api/drives", json=drive)
    assert created.is_success, created.text
    drive_id = created.json()["drive_id"]
    for number in range(ROUNDS):
        body = {"name": "S", "email": f"s{number}@college.edu", "roll_number": f"R{number}", "cgpa": "9"}
        student_id = (await api.post("/api/students", json=body)).json()["student_id"]
        gone, registered = await asyncio.gather(
            api.post(f"/api/users/{student_id}/deactivate"),
            api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student_id),
        )
        assert gone.status_code == 200, gone.text
        kept = await owner.fetchval("SELECT count(*) FROM registrations WHERE student_id = $1", student_id)
        assert kept == int(registered.is_success), registered.text
        late = await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student_id)
        assert late.status_code == 401, late.text  # at once in the process that changed the account
