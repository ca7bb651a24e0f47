"""A client that repeats a request with its key, later or at another replica, and keeps a ledger of the responses."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually

TRY_AGAIN = frozenset({503})
# What is asked for, by the path it is posted to.
PUBLICATION = ("/api/drives", {**DRIVE, "auto_calc": True})
FILE = ("/api/exports", {"kind": "finished_drives"})
REFRESH: tuple[str, dict[str, Any]] = ("/api/analytics/refresh", {})


@dataclass
class Ledger:
    """``accepted``: the response to each key; ``refused``: the last response to each key that got no 2xx."""

    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    tries: int = 0


async def head_of_its_own(client: httpx.AsyncClient) -> int:
    """Create a head with an account: without notices the API looks each caller up in the database."""
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
    """Send the requests ``wanted`` in turn until ``stop``, each up to ``tries`` times and at the next client."""
    for number in count():
        if stop.is_set():
            return
        key = f"{name}-{number}"
        path, body = wanted[number % len(wanted)]
        answer = "never sent"
        for again in range(tries):
            ledger.tries += 1
            answer = await _asked(clients[(number + again) % len(clients)], path, body, key, ledger)
            if not answer:
                break
            await asyncio.sleep(pause_s)
        if answer:
            ledger.refused.append(f"{key}: {answer}")


async def _asked(client: httpx.AsyncClient, path: str, body: dict[str, Any], key: str, ledger: Ledger) -> str:
    """Return the reason to repeat the request; empty when it was accepted."""
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
