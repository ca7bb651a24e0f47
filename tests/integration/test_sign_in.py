"""Sign-in and password changes: limits on attempts, and no stored traces of passwords."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from chassis.errors import Throttled
from services.api.http.client_address import networks, source
from services.api.users import throttle as limits
from services.api.users.fair_turns import FairTurns
from services.api.users.throttle import Throttle
from tests.conftest import Api
from tests.support.eventually import eventually

Owner = asyncpg.Connection
USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}
RIGHT = {"email": USER["email"], "password": USER["password"]}
WRONG = {"email": USER["email"], "password": "guess"}


@asynccontextmanager
async def coming_from(api: Api, address: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=api.app, client=(address, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def signed_in(client: httpx.AsyncClient, **body: str) -> dict[str, str]:
    answer = await client.post("/api/auth/login", json=body or RIGHT)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "10.9.9.9", "203.0.113.9"),  # an untrusted peer: its header is ignored
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),  # the client itself wrote the first address
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:198.51.100.7", "", "198.51.100.7"),
        ("2001:db8:1:2:aaaa::1", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "", "2001:db8:1:2::/64"),
        ("", "", "unknown"),
    ],
)
def test_the_source_of_a_request_is_its_client_address(peer: str, forwarded: str, expected: str) -> None:
    assert source(peer, forwarded, networks("10.0.0.0/8, ::1")) == expected


@pytest.mark.parametrize(
    "spelling", [" ASHA@College.edu ", "asha@COLLEGE.EDU", "asha@college.edu", "\ufeffasha@college.edu\u200b\n"]
)
async def test_the_case_of_an_email_address_does_not_matter(api: Api, spelling: str) -> None:
    await api.post("/api/users", json=USER)
    assert (await api.client.post("/api/auth/login", json={**RIGHT, "email": spelling})).status_code == 200
    assert (await api.post("/api/users", json={**USER, "email": "Asha@college.EDU"})).status_code == 409
    student = {"name": "A", "email": "ASHA@college.edu", "roll_number": "1"}
    assert (await api.post("/api/students", json=student)).status_code == 409


async def test_the_unicode_form_of_an_email_address_does_not_matter(api: Api) -> None:
    await api.post("/api/users", json={**USER, "email": "jose\u0301@college.edu"})
    assert (await api.post("/api/users", json={**USER, "email": "jos\u00e9@college.edu"})).status_code == 409


async def test_guesses_for_unknown_addresses_are_limited_by_source(api: Api) -> None:
    """A source that uses a new e-mail address for each guess is limited, and other sources are not."""
    await api.post("/api/users", json=USER)
    api.app.state.throttle = Throttle(10, 20)
    async with coming_from(api, "127.0.0.66") as guesser, coming_from(api, "127.0.0.77") as user:
        bodies = [{"email": f"{number}@made.up", "password": "x"} for number in range(60)]
        answers = await asyncio.gather(*(guesser.post("/api/auth/login", json=body) for body in bodies))
        codes = [answer.status_code for answer in answers]
        assert (codes.count(401), codes.count(429)) == (20, 40)
        started_s = time.perf_counter()
        refused = await guesser.post("/api/auth/login", json=RIGHT)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert time.perf_counter() - started_s < 1
        await signed_in(user)
        made_up = {"Authorization": "Bearer aaaa.bbbb.cccc"}
        assert (await guesser.post("/api/auth/login", json=RIGHT, headers=made_up)).status_code == 429


async def test_guesses_from_many_sources_count_together_and_do_not_lock_out_the_user(api: Api) -> None:
    await api.post("/api/users", json=USER)
    async with coming_from(api, "198.51.100.1") as own:
        await signed_in(own)
        codes = []
        for number in range(12):
            async with coming_from(api, f"203.0.113.{number}") as other:
                codes.append((await other.post("/api/auth/login", json=WRONG)).status_code)
        assert codes == [401] * 10 + [429] * 2
        await signed_in(own)


def test_concurrent_sign_ins_of_a_source_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_AT_ONCE", 1)
    throttle = Throttle(10, 10)
    with throttle.place("a"), throttle.place("b"), pytest.raises(Throttled), throttle.place("a"):
        pass
    with throttle.place("a"):
        pass


async def test_sources_take_turns_and_a_cancelled_request_passes_its_turn_on() -> None:
    turns, order = FairTurns(), []
    first = asyncio.Event()

    async def take(source_: str, number: int) -> None:
        async with turns.turn(source_):
            order.append((source_, number))
            await first.wait()

    waiting = [asyncio.create_task(take("flood", number)) for number in range(5)]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(take("user", 0)))
    await asyncio.sleep(0)
    waiting[1].cancel()
    first.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order.index(("user", 0)) <= 2
    assert len(order) == 5
    async with turns.turn("again"):
        pass


async def test_a_password_change_is_limited_like_a_sign_in(api: Api) -> None:
    await api.post("/api/users", json=USER)
    token = await signed_in(api.client)
    wrong = {"current_password": "no", "new_password": "another one"}
    answers = [await api.client.post("/api/auth/password", json=wrong, headers=token) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]


async def test_a_password_change_is_refused_after_a_concurrent_reset(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """The change waits for a lock on the account. Meanwhile the password that it has checked is replaced."""
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    token = await signed_in(api.client)
    async with owner.transaction():
        await owner.execute("SELECT FROM users WHERE user_id = $1 FOR UPDATE", user_id)
        body = {"current_password": USER["password"], "new_password": "a new password"}
        changing = asyncio.create_task(api.client.post("/api/auth/password", json=body, headers=token))

        async def waits() -> bool:
            return bool(
                await owner.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database() AND usename = 'placewire_api')"
                )
            )

        await eventually(waits)
        await owner.execute("UPDATE credentials SET password_hash = 'another' WHERE user_id = $1", user_id)
    assert (await changing).status_code == 409
    assert await owner.fetchval("SELECT password_hash FROM credentials WHERE user_id = $1", user_id) == "another"


async def test_password_changes_with_one_key_have_one_effect(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """The requests are sent concurrently, repeated with the invalidated token, and sent with another password."""
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    old = await signed_in(api.client) | {"Idempotency-Key": "one"}
    body = {"current_password": USER["password"], "new_password": "a new password"}

    async def change(**changes: Any) -> httpx.Response:
        return await api.client.post("/api/auth/password", json=body | changes, headers=old)

    answers = await asyncio.gather(change(), change())
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    repeated = await change()
    assert repeated.status_code == 200, repeated.text
    for answer in [*answers, repeated]:
        token = {"Authorization": f"Bearer {answer.json()['token']}"}
        assert (await api.client.get("/api/drives", headers=token)).status_code == 200
    assert await owner.fetchval("SELECT password_version FROM users WHERE user_id = $1", user_id) == 1
    assert (await change(new_password="not that one")).status_code in (401, 422)
    unkeyed = {"Authorization": old["Authorization"]}
    assert (await api.client.post("/api/auth/password", json=body, headers=unkeyed)).status_code == 401
    stored = await owner.fetchval("SELECT string_agg(k::text, '') FROM idempotency_keys k")
    assert "token" not in stored
    assert "eyJ" not in stored


async def test_no_plain_digest_of_a_password_is_stored(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """A plain SHA-256 of the request would let an attacker search for passwords in a leaked table."""
    student = {"name": "S", "email": "s@college.edu", "roll_number": "S1", "password": "correct horse"}
    keyed = {"Idempotency-Key": "k"}
    assert (await api.post("/api/students", json=student, headers=keyed)).status_code == 201
    full = {"batch_year": None, "branch": None, "tenth_percent": None, "twelfth_percent": None, "cgpa": None}
    digest = hashlib.sha256(student["password"].encode()).hexdigest()
    guesses = [student | full | {"active_backlogs": 0, "department": None} | {"password": digest}, student]
    fingerprints = [bytes(row["fingerprint"]) for row in await owner.fetch("SELECT fingerprint FROM idempotency_keys")]
    for guess in [*guesses, {**student, "password": digest}]:
        assert hashlib.sha256(orjson.dumps(guess, option=orjson.OPT_SORT_KEYS)).digest() not in fingerprints


async def test_a_clock_that_was_set_back_hides_no_change(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """A clock that was an hour ahead created the account, so later changes seem older than the account."""
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    old = await signed_in(api.client)
    # Change the log as well, so that it agrees with the read table.
    await owner.execute("ALTER TABLE es.event DISABLE TRIGGER event_is_append_only")
    await owner.execute(
        "UPDATE es.event SET recorded_at = recorded_at + interval '1 hour' WHERE stream_id = $1", f"user-{user_id}"
    )
    await owner.execute("ALTER TABLE es.event ENABLE TRIGGER event_is_append_only")
    await owner.execute(
        "UPDATE users SET created_at = created_at + interval '1 hour',"
        " access_changed_at = created_at + interval '1 hour' WHERE user_id = $1",
        user_id,
    )
    assert (await api.patch(f"/api/users/{user_id}", json={"password": "a new password"})).status_code == 200

    async def token_is_refused() -> bool:
        return (await api.client.get("/api/drives", headers=old)).status_code == 401

    await eventually(token_is_refused, within_s=3)
    await api.app.state.guard.changes.reload()
    assert await token_is_refused()


async def test_a_change_that_took_long_to_commit_invalidates_older_tokens(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    """The change was recorded slightly longer ago than the lifetime of a token.

    A token that was issued before the commit of the change is still within its lifetime.
    """
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    old = await signed_in(api.client)
    await api.patch(f"/api/users/{user_id}", json={"password": "a new password"})
    age = "8 hours 1 minute"
    await owner.execute("ALTER TABLE es.event DISABLE TRIGGER event_is_append_only")
    await owner.execute(
        f"UPDATE es.event SET recorded_at = recorded_at - interval '{age}' WHERE stream_id = $1", f"user-{user_id}"
    )
    await owner.execute("ALTER TABLE es.event ENABLE TRIGGER event_is_append_only")
    await owner.execute(
        f"UPDATE users SET created_at = created_at - interval '{age}',"
        f" access_changed_at = access_changed_at - interval '{age}' WHERE user_id = $1",
        user_id,
    )
    await api.app.state.guard.changes.reload()
    assert (await api.client.get("/api/drives", headers=old)).status_code == 401
