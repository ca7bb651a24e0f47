"""A client that repeats a request with its key, elsewhere or later, and keeps a ledger of what it was told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.enrolment import DRIVE
from tests.eventually import eventually

TRY_AGAIN = frozenset({503})
# What is asked for, by the path it is posted to.
PUBLICATION = ("/api/drives", {**DRIVE, "auto_calc": True})
FILE = ("/api/exports", {"kind": "finished_drives"})
REFRESH: tuple[str, dict[str, Any]] = ("/api/analytics/refresh", {})


@dataclass
class Ledger:
    """``accepted``: what each key was told; ``refused``: what was answered besides 2xx, in the end."""

    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    tries: int = 0


async def head_of_its_own(client: httpx.AsyncClient) -> int:
    """Somebody whom the database knows: while its notices are lost, each caller is looked up there."""
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
    """Ask for one after another of ``wanted`` until ``stop``, each with at most ``tries``, each at the next client."""
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
    """Why it should be asked again; empty when it was accepted."""
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
