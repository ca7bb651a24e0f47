"""A flood of bad requests from one address, and a user who signs in from another."""

import asyncio
import statistics
import time
from pathlib import Path

import httpx
import pytest

from devstack.ports import LOOPBACK
from tests.flood import Flood, Outcome, flooding, outcome_of
from tests.nginx import gateway, needs_nginx
from tests.system import System

USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}
RIGHT = {"email": USER["email"], "password": USER["password"]}
LIMIT_S = 0.3


async def sign_ins_during(port: int, kind: str) -> tuple[list[float], Outcome]:
    """Return how long each sign-in from 127.0.0.3 took while 127.0.0.2 floods the port."""
    own = httpx.AsyncHTTPTransport(local_address="127.0.0.3")
    took = []
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", transport=own, timeout=30) as user:
        assert (await user.post("/api/auth/login", json=RIGHT)).status_code == 200
        async with flooding(Flood(port, kind, source="127.0.0.2")) as flood:
            reading = asyncio.create_task(outcome_of(flood))
            while not reading.done():
                began = time.perf_counter()
                answer = await user.post("/api/auth/login", json=RIGHT)
                took.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(0.05)
            return took, await reading


def check(took: list[float], outcome: Outcome) -> None:
    """Nineteen of twenty sign-ins are fast enough; the rate that was reached is in the message of a failure."""
    seen = f"{outcome}; sign-ins: {sorted(round(one, 3) for one in took)}"
    print(seen)
    assert outcome.statuses.get("429", 0) > sum(outcome.statuses.values()) / 2, seen
    assert statistics.quantiles(took, n=20)[-1] < LIMIT_S, seen


@pytest.mark.parametrize("kind", ["sign_in", "token"])
async def test_500_bad_requests_a_second_from_one_source_delay_no_other(system: System, kind: str) -> None:
    """Made-up accounts, tokens with a wrong signature, and X-Forwarded-For, straight at the API."""
    system.start("api")
    async with system.client() as head:
        assert (await head.post("/api/users", json=USER)).status_code == 201
    check(*await sign_ins_during(system.ports["api"], kind))


@needs_nginx
@pytest.mark.parametrize("kind", ["sign_in", "token"])
async def test_the_gateway_keeps_such_a_flood_from_the_api(system: System, tmp_path: Path, kind: str) -> None:
    system.start("api", TRUSTED_PROXIES=LOOPBACK)
    async with system.client() as head:
        assert (await head.post("/api/users", json=USER)).status_code == 201
    with gateway(tmp_path / "gateway", f"{LOOPBACK}:{system.ports['api']}") as url:
        check(*await sign_ins_during(int(url.rpartition(":")[2]), kind))
