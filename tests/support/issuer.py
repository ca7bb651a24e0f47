"""An external issuer of sign-in tokens: its keys, its tokens, and a real HTTP server for its JWKS."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from tests.support.http_double import answering

CLAIMS = {"user_id": 7, "role": "COORDINATOR", "name": "Asha", "email": "asha@college.edu"}


@cache
def private_key(name: str) -> RSAPrivateKey:
    """Return the key ``name``. It is generated only once, because this is slow."""
    return generate_private_key(65537, 1024 if name == "short" else 2048)


def described(name: str, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the public key of ``name`` as an entry of a JWKS."""
    public = RSAAlgorithm.to_jwk(private_key(name).public_key(), as_dict=True)
    return {**public, "kid": kid or name, "use": "sig", "alg": "RS256", **more}


def signed(key: str, kid: str | None = None, algorithm: str = "RS256", header: Any = None, **claims: Any) -> str:
    now = int(time.time())
    all_claims = {"iat": now, "exp": now + 600, **CLAIMS, **claims}
    content = {name: value for name, value in all_claims.items() if value is not None}
    headers = {name: value for name, value in {"kid": kid or key, **(header or {})}.items() if value is not None}
    return jwt.encode(content, private_key(key), algorithm, headers=headers)


class JwksServer:
    """A server of a JWKS. ``answer``: status and body of its next response. ``asked``: the number of requests."""

    def __init__(self, *keys: str) -> None:
        self.asked = 0
        self.url = ""
        self.answer: tuple[int, bytes] = (200, b"")
        self.names(*(described(key) for key in keys))

    def names(self, *entries: dict[str, Any]) -> None:
        self.answer = (200, json.dumps({"keys": entries}).encode())


@contextmanager
def serving(*keys: str) -> Iterator[JwksServer]:
    jwks = JwksServer(*keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            jwks.asked += 1
            status, body = jwks.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with answering(Handler) as address:
        jwks.url = f"{address}/jwks.json"
        yield jwks
