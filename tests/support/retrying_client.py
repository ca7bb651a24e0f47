"""A client that repeats requests with the same key, later or at another replica, and records the responses."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually

TRY_AGAIN = frozenset({503})
# Requests: path and body.
PUBLICATION = ("/api/drives", {**DRIVE, "auto_calc": True})
FILE = ("/api/exports", {"kind": "finished_drives"})
REFRESH: tuple[str, dict[str, Any]] = ("/api/analytics/refresh", {})


@dataclass
class Ledger:
    """The responses. ``accepted``: the 2xx response for each key. ``refused``: the last response for each other key."""

    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    tries: int = 0


async def head_of_its_own(client: httpx.AsyncClient) -> int:
    """Create an account of a head. Return its id.

    Without notifications, the API looks up each caller in the database, and refuses a caller without an account.
    """
    person = {"name": "H", "email": "h@college.edu", "role": "HEAD", "password": "correct horse"}

    async def made() -> int | None:
        answer = await client.post("/api/users", json=person)
        return int(answer.json()["user_id"]) if answer.status_code == 201 else None

    user_id = await eventually(made)
    assert user_id is not None
    return user_id


async def insisting(
    clients: list[httpx.AsyncClient],
    ledger: Ledger,
    stop: asyncio.Event,
    *,
    name: str,
    tries: int,
    pause_s: float = 0.0,
    wanted: Sequence[tuple[str, dict[str, Any]]] = (PUBLICATION,),
) -> None:
    """Send the requests ``wanted`` in turn until ``stop``. Try each up to ``tries`` times, with another client."""
    for number in count():
        if stop.is_set():
            return
        key = f"{name}-{number}"
        path, body = wanted[number % len(wanted)]
        answer = "never sent"
        for again in range(tries):
            ledger.tries += 1
            answer = await _send(clients[(number + again) % len(clients)], path, body, key, ledger)
            if not answer:
                break
            await asyncio.sleep(pause_s)
        if answer:
            ledger.refused.append(f"{key}: {answer}")


async def _send(client: httpx.AsyncClient, path: str, body: dict[str, Any], key: str, ledger: Ledger) -> str:
    """Send a request. Return the reason to repeat it, or an empty text when it was accepted."""
    try:
        answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
    except httpx.TransportError as error:
        return type(error).__name__
    if answer.status_code in TRY_AGAIN:
        assert answer.headers["Retry-After"], answer.text
        return answer.text
    assert answer.status_code in (200, 202), answer.text
    ledger.accepted[key] = answer.json()
    return ""
