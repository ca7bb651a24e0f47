"""The public keys of another issuer of sign-in tokens (RS256), from its JWKS address.

Fetched at the start, every ``REFRESH_S``, and when a token names an unknown key. Unknown keys cause at most one fetch
in ``MIN_REFETCH_S``. A key is trusted while the last response contains it; its tokens end when it is removed. Without a
response that is a JWKS (RFC 7517) the keys stay as they are.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"
REFRESH_S = 300.0
MIN_REFETCH_S = 10.0
ANSWER_TIMEOUT_S = 5.0
# Source: RFC 7518, section 3.3.
MIN_BITS = 2048

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class IssuerKey:
    """A key. ``trusted`` becomes false once the issuer no longer lists it, and never true again."""

    kid: str
    public: RSAPublicKey
    trusted: bool = True


class IssuerKeys:
    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, IssuerKey] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def find(self, kid: str) -> IssuerKey | None:
        """Return the key with the id ``kid``. Fetches the keys again if it may be new. Never raises."""
        if (known := self._keys.get(kid)) is not None:
            return known
        async with self._asking:
            if kid not in self._keys and time.monotonic() - self._asked_at >= MIN_REFETCH_S:
                await self._fetch()
        return self._keys.get(kid)

    async def run(self) -> None:
        """Fetch the keys regularly until cancelled."""
        while True:
            async with self._asking:
                fetched = await self._fetch()
            await asyncio.sleep(REFRESH_S if fetched else MIN_REFETCH_S)

    async def _fetch(self) -> bool:
        self._asked_at = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S), httpx.AsyncClient() as client:
                answer = await client.get(self._url)
                found = usable_keys(answer.raise_for_status().json())
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("issuer_keys.kept", reason=f"{type(error).__name__}: {error}", kids=sorted(self._keys))
            return False
        self._replace(found)
        return True

    def _replace(self, found: dict[str, RSAPublicKey]) -> None:
        kept = {kid: key for kid, key in self._keys.items() if kid in found and found[kid] == key.public}
        gone = [key for kid, key in self._keys.items() if kid not in kept]
        for key in gone:
            key.trusted = False
        self._keys = kept | {kid: IssuerKey(kid, public) for kid, public in found.items() if kid not in kept}
        if gone or len(self._keys) > len(kept):
            log.info("issuer_keys.changed", kids=sorted(self._keys), gone=sorted(key.kid for key in gone))


def usable_keys(jwks: Any) -> dict[str, RSAPublicKey]:
    """Return the keys of a JWKS that can sign RS256: RSA, named, long enough, and for no other use. Skip the others.

    Raises ``ValueError`` when ``jwks`` is not a JWKS.
    """
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
        raise ValueError("the response is not a JWKS")
    found: dict[str, RSAPublicKey] = {}
    for described in jwks["keys"]:
        if isinstance(described, dict) and _is_for_signing(described):
            try:
                key = RSAAlgorithm.from_jwk(described)
            except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
                continue
            if isinstance(key, RSAPublicKey) and key.key_size >= MIN_BITS:
                found[described["kid"]] = key
    return found


def _is_for_signing(described: dict[str, Any]) -> bool:
    return (
        described.get("kty") == "RSA"
        and isinstance(described.get("kid"), str)
        and described.get("use", "sig") == "sig"
        and described.get("alg", ALGORITHM) == ALGORITHM
    )
