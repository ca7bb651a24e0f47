"""A verified token is cached, and is refused after its expiry."""

import time

import pytest

from chassis.errors import Unauthenticated
from chassis.tokens import USER_TOKEN_S, Principal, issue_user_token
from contracts.users import Role
from services.api.http import sign_in_tokens
from services.api.http.sign_in_tokens import Tokens

SECRET = "a secret of at least thirty-two characters"


def token(user_id: int = 1, secret: str = SECRET) -> str:
    return issue_user_token(Principal(user_id, Role.STAFF, "A", "a@college.edu", 3), secret)


async def test_a_valid_token_always_gives_the_same_user() -> None:
    reader, header = Tokens(SECRET), f"Bearer {token()}"
    assert await reader.read(header) == await reader.read(header) == Principal(1, Role.STAFF, "A", "a@college.edu", 3)
    assert await reader.is_valid(header.encode())


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", pytest.param(token(), id="a token")])
async def test_a_request_without_a_token_is_unauthenticated(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="No token"):
        await Tokens(SECRET).read(header)


async def test_a_forged_token_is_refused_and_not_cached() -> None:
    reader = Tokens(SECRET)
    forged = f"Bearer {token(secret='another secret of thirty-two characters')}"
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="Invalid token"):
            await reader.read(forged)
    assert not await reader.is_valid(forged.encode())
    assert reader._valid == {}


async def test_a_cached_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, header = Tokens(SECRET), f"Bearer {token()}"
    now = time.time()
    await reader.read(header)
    monkeypatch.setattr(time, "time", lambda: now + USER_TOKEN_S - 2)
    await reader.read(header)
    monkeypatch.setattr(time, "time", lambda: now + USER_TOKEN_S + 1)
    with pytest.raises(Unauthenticated, match="Invalid token"):
        await reader.read(header)


async def test_the_number_of_cached_tokens_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_tokens, "MAX_REMEMBERED", 10)
    reader = Tokens(SECRET)
    for user_id in range(30):
        assert (await reader.read(f"Bearer {token(user_id)}")).user_id == user_id
    assert len(reader._valid) == 10
