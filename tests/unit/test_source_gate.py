"""Requests of a source that fails too often are refused before a route is looked up."""

from typing import Any

import pytest

from contracts.users import Role
from services.api.http import source_gate
from services.api.http.client_address import networks
from services.api.http.sign_in_tokens import Tokens
from services.api.http.source_gate import SourceGate
from services.api.users import throttle as limits
from services.api.users.throttle import Throttle
from tests.support.flood import token_with_wrong_signature
from tests.support.system import SECRET, token

FLOOD, USER = "203.0.113.1", "198.51.100.1"


def scope(address: str, path: str, forwarded: str = "") -> dict[str, Any]:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return {"type": "http", "path": path, "client": (address, 40_000), "headers": headers, "state": {}}


def headers(text: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {text}".encode()}


async def test_invalid_tokens_are_limited_by_source_and_valid_ones_always_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_gate, "UNAUTHENTICATED_PER_SECOND", 0.001)
    monkeypatch.setattr(source_gate, "UNAUTHENTICATED_BURST", 5)
    gate = SourceGate(Throttle(10, 10), Tokens(SECRET), networks("10.0.0.0/8"))
    passed = 0
    for number in range(20):
        flood, made_up = scope(FLOOD, "/api/drives", f"10.9.9.{number}"), headers(token_with_wrong_signature(number))
        if await gate.refusal(flood, made_up) is None:
            passed += 1
            gate.count_response(flood, made_up, 401)
    assert passed == 5
    refused = await gate.refusal(scope(FLOOD, "/api/drives"), {})
    assert refused is not None
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    # Still accepted: a signed-in user at the same address, another address, and a path outside of the API.
    assert await gate.refusal(scope(FLOOD, "/api/drives"), headers(token(Role.STUDENT))) is None
    assert await gate.refusal(scope(USER, "/api/drives"), headers("a.b.c")) is None
    assert await gate.refusal(scope(FLOOD, "/livez"), {}) is None


async def test_requests_that_arrive_before_the_first_answer_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_gate, "UNAUTHENTICATED_PER_SECOND", 0.001)
    monkeypatch.setattr(source_gate, "UNAUTHENTICATED_BURST", 5)
    gate = SourceGate(Throttle(10, 10), Tokens(SECRET), [])
    first = scope(FLOOD, "/api/drives")
    assert await gate.refusal(first, {}) is None
    gate.count_response(first, {}, 401)
    waiting = [scope(FLOOD, "/api/drives") for _ in range(20)]
    passed = [request for request in waiting if await gate.refusal(request, {}) is None]
    for request in passed:
        gate.count_response(request, {}, 401)
    assert len(passed) == 4


async def test_sign_ins_are_limited_by_source_even_with_a_valid_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_AT_ONCE", 2)
    throttle = Throttle(10, 3)
    gate = SourceGate(throttle, Tokens(SECRET), [])
    signing_in = scope(FLOOD, "/api/auth/login")
    with throttle.place(FLOOD), throttle.place(FLOOD):
        assert await gate.refusal(signing_in, headers(token(Role.STUDENT))) is not None
        assert await gate.refusal(scope(USER, "/api/auth/login"), {}) is None
    for _ in range(1000):  # successes are not counted
        throttle.succeeded("somebody", FLOOD)
    assert await gate.refusal(signing_in, {}) is None
    for number in range(3):
        throttle.failed(f"{number}@made.up", FLOOD)
    assert await gate.refusal(signing_in, headers(token(Role.STUDENT))) is not None
    assert await gate.refusal(scope(USER, "/api/auth/login"), {}) is None


def test_limits_do_not_store_email_addresses() -> None:
    throttle = Throttle(10, 3)
    throttle.failed("asha@college.edu", "10.0.0.1")
    throttle.succeeded("asha@college.edu", "10.0.0.1")
    throttle.failed("asha@college.edu", "10.0.0.1")
    remembered = f"{throttle._known} {throttle._accounts._failures}"
    assert "10.0.0.1" in remembered
    assert "asha" not in remembered
