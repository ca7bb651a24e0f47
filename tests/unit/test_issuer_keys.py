"""Tokens of another issuer are accepted only with its keys, and only while it lists them."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.errors import Unauthenticated
from chassis.tokens import USER_TOKEN_S, Principal, issue_user_token
from contracts.users import Role
from services.api.http import issuer_keys
from services.api.http.issuer_keys import IssuerKeys, usable_keys
from services.api.http.links import Links
from services.api.http.sign_in_tokens import Issuer, Tokens
from tests.support.issuer import CLAIMS, JwksServer, described, private_key, serving, signed
from tests.support.sizes import sized

SECRET = "a secret of at least thirty-two characters"
FORMER_SECRET = "the secret that was there before this one"
ASHA = Principal(7, Role.COORDINATOR, "Asha", "asha@college.edu", None)


@pytest.fixture
def jwks() -> Iterator[JwksServer]:
    with serving("first") as server:
        yield server


def reader(jwks: JwksServer, **rules: Any) -> Tokens:
    return Tokens(SECRET, issuer=Issuer(IssuerKeys(jwks.url), **rules))


async def is_accepted(tokens: Tokens, token: str) -> bool:
    return await tokens.is_valid(f"Bearer {token}".encode())


def keys_of(tokens: Tokens) -> IssuerKeys:
    assert tokens._issuer is not None
    return tokens._issuer.keys


async def test_a_token_of_the_issuer_identifies_the_user(jwks: JwksServer) -> None:
    tokens = reader(jwks)
    assert await tokens.read(f"Bearer {signed('first')}") == ASHA
    assert (await tokens.read(f"Bearer {signed('first', pwv=3)}")).password_version == 3
    ours = issue_user_token(Principal(1, Role.STAFF, "B", "b@college.edu", 0), SECRET)
    assert await is_accepted(tokens, ours)
    assert jwks.asked == 1


async def test_without_an_issuer_only_our_own_tokens_are_accepted(jwks: JwksServer) -> None:
    assert not await is_accepted(Tokens(SECRET), signed("first"))
    assert jwks.asked == 0


async def test_a_new_key_is_fetched_when_its_first_token_arrives(
    jwks: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = reader(jwks)
    old = signed("first")
    assert await is_accepted(tokens, old)
    jwks.names(described("first"), described("second"))
    assert not await is_accepted(tokens, signed("second")), "the keys were fetched a moment ago"
    monkeypatch.setattr(issuer_keys, "MIN_REFETCH_S", 0)
    assert await is_accepted(tokens, signed("second"))
    assert await is_accepted(tokens, old), "both keys are valid while both are listed"
    assert jwks.asked == 2


async def test_many_unknown_key_ids_cause_one_fetch(jwks: JwksServer) -> None:
    tokens = reader(jwks)
    forged = [signed("first", kid=f"made-up-{number}") for number in range(100)]
    assert not any(await asyncio.gather(*(is_accepted(tokens, token) for token in forged)))
    assert jwks.asked == 1


@pytest.mark.parametrize(
    "answer",
    [(500, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b'{"keys": {}}'), (302, b""), (404, b'{"keys": []}')],
    ids=str,
)
async def test_keys_stay_valid_while_the_issuer_gives_no_valid_answer(
    jwks: JwksServer, answer: tuple[int, bytes]
) -> None:
    tokens = reader(jwks)
    token = signed("first")
    assert await is_accepted(tokens, token)
    jwks.answer = answer
    assert not await keys_of(tokens)._fetch()
    assert await is_accepted(tokens, token)
    assert await is_accepted(tokens, signed("first", user_id=8))


async def test_keys_stay_valid_while_the_issuer_is_unreachable() -> None:
    with serving("first") as jwks:
        tokens = reader(jwks)
        assert await is_accepted(tokens, signed("first"))
    assert not await keys_of(tokens)._fetch()
    assert await is_accepted(tokens, signed("first", user_id=8))


async def test_tokens_of_a_removed_key_are_refused_even_if_cached(jwks: JwksServer) -> None:
    jwks.names(described("first"), described("second"))
    tokens = reader(jwks)
    removed, listed = signed("first"), signed("second")
    assert await is_accepted(tokens, removed)
    assert await is_accepted(tokens, listed)
    jwks.names(described("second"))
    assert await keys_of(tokens)._fetch()
    assert not await is_accepted(tokens, removed)
    assert not await is_accepted(tokens, signed("first", user_id=8))
    assert await is_accepted(tokens, listed)


async def test_replacing_a_key_under_the_same_id_invalidates_the_old_tokens(jwks: JwksServer) -> None:
    tokens = reader(jwks)
    old = signed("first")
    assert await is_accepted(tokens, old)
    jwks.names(described("second", kid="first"))
    assert await keys_of(tokens)._fetch()
    assert not await is_accepted(tokens, old)
    assert await is_accepted(tokens, signed("second", kid="first"))


def hand_made(header: dict[str, Any], secret: bytes) -> str:
    """Return an HMAC token that is signed with a key that libraries refuse."""
    now = int(time.time())
    parts = (header, {"iat": now, "exp": now + 600, **CLAIMS, "pwv": 0})
    body = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.new(secret, body, sha256).digest() if secret else b""
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@cache
def forged_tokens() -> dict[str, str]:
    public = private_key("first").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "public PEM as a secret": hand_made({"alg": "HS256", "kid": "first"}, pem),
        "public PEM as a secret, no kid": hand_made({"alg": "HS256"}, pem),
        "public DER as a secret": hand_made({"alg": "HS256", "kid": "first"}, der),
        "the secret under the issuer's key": hand_made({"alg": "HS256", "kid": "first"}, SECRET.encode()),
        "the secret, said to be RS256": hand_made({"alg": "RS256", "kid": "first"}, SECRET.encode()),
        "none": hand_made({"alg": "none"}, b""),
        "none under a key": hand_made({"alg": "none", "kid": "first"}, b""),
        "None": hand_made({"alg": "None"}, b""),
        "no algorithm": hand_made({"kid": "first"}, SECRET.encode()),
        "RS256 without a signature": hand_made({"alg": "RS256", "kid": "first"}, b""),
        "RS256 without a key's name": signed("first", header={"kid": None}),
        "another's key under its name": signed("other", kid="first"),
        "another's key brought along": signed("other", header={"jwk": described("other"), "kid": "first"}),
        "RS512": signed("first", algorithm="RS512"),
        "PS256": signed("first", algorithm="PS256"),
    }


def test_a_hand_made_token_with_the_right_secret_is_accepted() -> None:
    assert asyncio.run(is_accepted(Tokens(SECRET), hand_made({"alg": "HS256"}, SECRET.encode())))


@pytest.mark.parametrize("forgery", forged_tokens())
async def test_a_token_with_a_forged_algorithm_or_key_is_refused(jwks: JwksServer, forgery: str) -> None:
    assert not await is_accepted(reader(jwks), forged_tokens()[forgery])


@cache
def one_token() -> bytes:
    return signed("first").encode()


def parts_of(token: bytes) -> tuple[bytes, bytes]:
    """Return the signed content, and the signature as bytes. Base64 ignores four bits of its last character."""
    content, _, signature = token.rpartition(b".")
    return content, base64.urlsafe_b64decode(signature + b"==")


@settings(max_examples=sized(small=50, full=200), deadline=None)
@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_token_with_one_changed_bit_is_refused(where: int, bit: int) -> None:
    changed = bytearray(one_token())
    changed[where % len(changed)] ^= 1 << bit

    async def believed() -> bool:
        keys = IssuerKeys("http://127.0.0.1:9/")
        keys._replace(usable_keys({"keys": [described("first")]}))
        return await is_accepted(Tokens(SECRET, issuer=Issuer(keys)), changed.decode("latin-1"))

    if asyncio.run(believed()):
        assert parts_of(bytes(changed)) == parts_of(one_token())


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 60}, {"exp": None}, {"iat": None}, {"iat": NOW + 3600}, {"nbf": NOW + 3600},
        {"iat": NOW - USER_TOKEN_S - 60, "exp": NOW + 86_400},
        {"user_id": None}, {"user_id": "me"}, {"role": None}, {"role": "ADMIN"}, {"name": None}, {"email": None},
        {"iss": None}, {"iss": "https://other.example"}, {"aud": None}, {"aud": "other"}, {"aud": ["other"]},
        {"pwv": "x"},
    ],
    ids=" ".join,  # without the times: all xdist workers must collect the same ids
)  # fmt: skip
async def test_a_token_with_a_missing_or_wrong_claim_is_refused(jwks: JwksServer, claims: dict[str, Any]) -> None:
    tokens = reader(jwks, name="https://id.example", audience="placewire")
    good: dict[str, Any] = {"iss": "https://id.example", "aud": ["placewire", "others"]}
    assert await is_accepted(tokens, signed("first", **good))
    assert not await is_accepted(tokens, signed("first", **{**good, **claims}))


async def test_a_token_for_another_audience_is_refused(jwks: JwksServer) -> None:
    assert not await is_accepted(reader(jwks), signed("first", aud="another-application"))


def test_only_signing_keys_are_used() -> None:
    entries = [
        described("first"),
        described("first", kid="encrypts", use="enc"),
        described("first", kid="other algorithm", alg="RS512"),
        described("short"),
        {"kty": "RSA", "kid": "empty"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "oct", "kid": "secret", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "alg": "HS256"},
        {key: value for key, value in described("first").items() if key != "kid"},
        "text",
    ]
    assert set(usable_keys({"keys": entries})) == {"first"}


async def test_the_former_secret_verifies_but_does_not_sign() -> None:
    person = Principal(1, Role.STAFF, "B", "b@college.edu", 0)
    tokens = Tokens(SECRET, FORMER_SECRET)
    assert await is_accepted(tokens, issue_user_token(person, FORMER_SECRET))
    assert await is_accepted(tokens, issue_user_token(person, SECRET))
    assert not await is_accepted(tokens, issue_user_token(person, "one that never was, of thirty-two letters"))
    assert not await is_accepted(Tokens(SECRET), issue_user_token(person, FORMER_SECRET))
    path, _, query = Links(FORMER_SECRET).sign("/uploads/a.pdf").partition("?")
    expires, signature = (part.partition("=")[2] for part in query.split("&"))
    assert Links(SECRET, FORMER_SECRET).is_valid(path, int(expires), signature)
    assert not Links(SECRET).is_valid(path, int(expires), signature)
    assert Links(SECRET, FORMER_SECRET).sign("/uploads/a.pdf") == Links(SECRET).sign("/uploads/a.pdf")


async def test_a_malformed_authorization_header_is_refused(jwks: JwksServer) -> None:
    for header in (None, "Bearer", f"Basic {signed('first')}", "Bearer a.b.c", "Bearer \xff.b.c"):
        with pytest.raises(Unauthenticated):
            await reader(jwks).read(header)
