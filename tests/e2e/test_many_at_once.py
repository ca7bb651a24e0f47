"""What must not stand in each other's way."""

import asyncio
import statistics
from time import perf_counter

from tests.support.bulk_students import DRIVE
from tests.support.sizes import sized
from tests.support.system import System

AT_ONCE = sized(small=16, full=32)
USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}


async def test_a_wave_of_publishes_and_sign_ins_leaves_readers_alone(
    live: System,
) -> None:
    """Publishes of as many drives and sign-ins at once, while another client lists drives."""
    took: list[float] = []
    async with live.client() as client, live.client() as other:
        await client.post("/api/users", json=USER)
        drives = [(await client.post("/api/drives", json=DRIVE)).json()["drive_id"] for _ in range(AT_ONCE)]

        async def read() -> None:
            while True:
                began = perf_counter()
                assert (await other.get("/api/drives")).status_code == 200
                took.append(perf_counter() - began)

        reading = asyncio.create_task(read())
        login = {"email": USER["email"], "password": USER["password"]}
        answers = await asyncio.gather(
            *(client.post(f"/api/drives/{id_}/publish", headers={"Prefer": "wait=20"}) for id_ in drives),
            *(client.post("/api/auth/login", json=login) for _ in range(AT_ONCE)),
        )
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert [answer.status_code for answer in answers] == [200] * (2 * AT_ONCE)
    assert all(answer.json()["job"]["state"] == "succeeded" for answer in answers[:AT_ONCE])
    assert len(took) >= 10
    assert statistics.median(took) < 0.1, statistics.quantiles(took, n=10)
