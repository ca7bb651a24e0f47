"""Many requests at once do not slow down other requests."""

import asyncio
import statistics
from time import perf_counter

from tests.support.bulk_students import DRIVE
from tests.support.sizes import sized
from tests.support.system import System

AT_ONCE = sized(small=16, full=32)
USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}


async def test_publishes_and_sign_ins_at_once_do_not_slow_down_readers(
    live: System,
) -> None:
    """Publish ``AT_ONCE`` drives and sign in as often at the same time, while another client lists drives."""
    durations_s: list[float] = []
    async with live.client() as client, live.client() as other:
        await client.post("/api/users", json=USER)
        drives = [(await client.post("/api/drives", json=DRIVE)).json()["drive_id"] for _ in range(AT_ONCE)]

        async def read() -> None:
            while True:
                began = perf_counter()
                assert (await other.get("/api/drives")).status_code == 200
                durations_s.append(perf_counter() - began)

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
    assert len(durations_s) >= 10
    assert statistics.median(durations_s) < 0.1, statistics.quantiles(durations_s, n=10)
