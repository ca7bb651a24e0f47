"""The public keys of another issuer of sign-in tokens (RS256), from its JWKS address.

The keys are fetched at the start, every ``REFRESH_S``, and when a token names an unknown key. Unknown keys cause at
most one fetch in ``MIN_REFETCH_S``. A key and its tokens are valid while the last response contains the key. A response
that is not a JWKS (RFC 7517) changes nothing.
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
        self._fetched_at = float("-inf")
        self._fetch_lock = asyncio.Lock()

    async def find(self, kid: str) -> IssuerKey | None:
        """Return the key with the id ``kid``. Fetches the keys again if the id is unknown. Never raises."""
        if (known := self._keys.get(kid)) is not None:
            return known
        async with self._fetch_lock:
            if kid not in self._keys and time.monotonic() - self._fetched_at >= MIN_REFETCH_S:
                await self._fetch()
        return self._keys.get(kid)

    async def run(self) -> None:
        """Fetch the keys regularly until cancelled."""
        while True:
            async with self._fetch_lock:
                fetched = await self._fetch()
            await asyncio.sleep(REFRESH_S if fetched else MIN_REFETCH_S)

    async def _fetch(self) -> bool:
        self._fetched_at = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S), httpx.AsyncClient() as client:
                response = await client.get(self._url)
                fetched = usable_keys(response.raise_for_status().json())
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("issuer_keys.kept", reason=f"{type(error).__name__}: {error}", kids=sorted(self._keys))
            return False
        self._replace(fetched)
        return True

    def _replace(self, fetched: dict[str, RSAPublicKey]) -> None:
        unchanged = {kid: key for kid, key in self._keys.items() if kid in fetched and fetched[kid] == key.public}
        removed = [key for kid, key in self._keys.items() if kid not in unchanged]
        for key in removed:
            key.trusted = False
        self._keys = unchanged | {
            kid: IssuerKey(kid, public) for kid, public in fetched.items() if kid not in unchanged
        }
        if removed or len(self._keys) > len(unchanged):
            log.info("issuer_keys.changed", kids=sorted(self._keys), gone=sorted(key.kid for key in removed))


def usable_keys(jwks: Any) -> dict[str, RSAPublicKey]:
    """Return the keys of a JWKS that can sign RS256: RSA keys with an id, long enough, and for signatures.

    Raises ``ValueError`` when ``jwks`` is not a JWKS.
    """
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
        raise ValueError("the response is not a JWKS")
    usable: dict[str, RSAPublicKey] = {}
    for jwk in jwks["keys"]:
        if isinstance(jwk, dict) and _is_for_signing(jwk):
            try:
                key = RSAAlgorithm.from_jwk(jwk)
            except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
                continue
            if isinstance(key, RSAPublicKey) and key.key_size >= MIN_BITS:
                usable[jwk["kid"]] = key
    return usable


def _is_for_signing(jwk: dict[str, Any]) -> bool:
    return (
        jwk.get("kty") == "RSA"
        and isinstance(jwk.get("kid"), str)
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", ALGORITHM) == ALGORITHM
    )
