"""One run: start everything, load it, hurt it, heal it, wait until it has nothing left to do, and count."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import asyncpg

from tests.chaos import faults
from tests.chaos.audit import audit
from tests.chaos.clients import Clients
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.model import Model
from tests.chaos.replicas import Replicas, replicas
from tests.chaos.report import Committed, Report
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually

STUDENTS = 200
DRAINED_WITHIN_S = 180
UNFINISHED = """
SELECT (SELECT count(*) FROM es.job WHERE finished_at IS NULL)
     + (SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL)
"""
MARKS = "SELECT student_id, cgpa FROM students"

# Called with the seconds since the beginning and the current step.
Watch = Callable[[float, str], None]


def run(folder: Path, planned: Iterable[Fault], *, seconds: float, seed: int, rate: float, watch: Watch) -> Report:
    """Carry out ``planned`` until it ends or ``seconds`` are over, under ``rate`` commands a second.

    Blocks. Servers and processes are its own, live below ``folder``, and are gone when it returns.
    """
    with replicas(folder) as everything:
        return asyncio.run(_run(everything, planned, seconds=seconds, seed=seed, rate=rate, watch=watch))


async def _run(
    everything: Replicas, planned: Iterable[Fault], *, seconds: float, seed: int, rate: float, watch: Watch
) -> Report:
    owner = await asyncpg.connect(everything.database_url)
    await enrol(owner, STUDENTS)
    model = Model({row["student_id"]: row["cgpa"] for row in await owner.fetch(MARKS)})
    await owner.close()
    watch(0, "starting")
    await everything.start_all()
    head_id = await _head(everything)
    load = Load(everything.api_urls, head_id, Clients(model, head_id, seed=seed), rate=rate)
    report = Report(seed, seconds, load.ledger)
    sending = asyncio.create_task(load.run())
    await _hurt(everything, report, planned, seconds, watch)
    watch(seconds, "healing")
    await everything.revive()
    load.stop()
    await _until_answered(sending)
    owner = await asyncpg.connect(everything.database_url)
    try:
        watch(seconds, "draining")
        await eventually(lambda: _is_drained(owner), within_s=DRAINED_WITHIN_S)
        watch(seconds, "counting")
        report.findings = await audit(
            load.ledger, model, owner, everything.database_url, everything.kafka.bootstrap_servers,
            everything.system.folder / "uploads",
        )  # fmt: skip
    finally:
        await owner.close()
    return report


async def _head(everything: Replicas) -> int:
    """The id of a head who is on record: while the API hears of no changes it looks every caller up."""
    user = {"name": "Asha", "email": "asha@college.edu", "role": "HEAD", "password": "correct horse"}
    async with everything.system.client("api1") as client:
        answer = await client.post("/api/users", json=user)
        return int(answer.json()["user_id"])


async def _hurt(everything: Replicas, report: Report, planned: Iterable[Fault], seconds: float, watch: Watch) -> None:
    chance = random.Random(report.seed)
    began = time.monotonic()
    await asyncio.sleep(2)
    for fault in planned:
        so_far = time.monotonic() - began
        if so_far + fault.lasts_s > seconds:
            return
        watch(so_far, fault.name)
        started = time.monotonic()
        await faults.commit(fault, everything, chance)
        report.faults.append(Committed(fault, started, time.monotonic()))
        await asyncio.sleep(fault.then_s)


async def _until_answered(sending: asyncio.Task[None]) -> None:
    """Wait until every command is answered. The audit finds those that are not after ``DRAINED_WITHIN_S``.

    Raises what ended a client early, a ``TimeoutError`` too: that is a defect of the test.
    """
    done, late = await asyncio.wait({sending}, timeout=DRAINED_WITHIN_S)
    for task in late:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for task in done:
        task.result()


async def _is_drained(owner: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return int(await owner.fetchval(UNFINISHED)) == 0
