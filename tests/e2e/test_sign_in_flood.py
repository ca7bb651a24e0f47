"""A flood of bad sign-ins from one address, and somebody who signs in from another."""

import asyncio
import time

import httpx

from tests.system import System

USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}
RIGHT = {"email": USER["email"], "password": USER["password"]}


async def test_500_bad_sign_ins_a_second_from_one_source_delay_no_other(system: System) -> None:
    """Made-up addresses and Authorization headers from 127.0.0.2; the user signs in from 127.0.0.3."""
    system.start("api")
    url = f"http://127.0.0.1:{system.ports['api']}"
    own = httpx.AsyncHTTPTransport(local_address="127.0.0.3")
    flood = httpx.AsyncHTTPTransport(local_address="127.0.0.2", limits=httpx.Limits(max_connections=100))
    async with (
        system.client() as head,
        httpx.AsyncClient(base_url=url, transport=own, timeout=30) as user,
        httpx.AsyncClient(base_url=url, transport=flood, timeout=30) as guesser,
    ):
        assert (await head.post("/api/users", json=USER)).status_code == 201
        assert (await user.post("/api/auth/login", json=RIGHT)).status_code == 200

        async def guess(number: int) -> int:
            body = {"email": f"{number}@made.up", "password": "x"}
            made_up = {"Authorization": f"Bearer {number}.b.c"}
            return (await guesser.post("/api/auth/login", json=body, headers=made_up)).status_code

        async def attack(seconds: float) -> list[int]:
            sent: list[asyncio.Task[int]] = []
            began = time.perf_counter()
            while (passed := time.perf_counter() - began) < seconds:
                due = int(passed * 500) - len(sent)
                sent += [asyncio.create_task(guess(len(sent) + number)) for number in range(due)]
                await asyncio.sleep(0.01)
            return await asyncio.gather(*sent)

        attacking = asyncio.create_task(attack(4))
        took = []
        while not attacking.done():
            began = time.perf_counter()
            assert (await user.post("/api/auth/login", json=RIGHT)).status_code == 200
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.1)
        codes = await attacking
    assert codes.count(429) > len(codes) / 2
    assert sorted(took)[len(took) // 2] < 0.3, took
