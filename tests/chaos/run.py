"""One run: start everything, send commands, cause faults, end them, wait until all jobs have ended, and audit."""

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
    """Cause the ``planned`` faults until they end or ``seconds`` are over, with ``rate`` commands a second.

    The run starts its own servers and processes, with data below ``folder``, and stops them at the end.
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
    await _cause_faults(everything, report, planned, seconds, watch)
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
    """Create the account of a head and return its id. Without notifications, the API looks up every caller."""
    user = {"name": "Asha", "email": "asha@college.edu", "role": "HEAD", "password": "correct horse"}
    async with everything.system.client("api1") as client:
        answer = await client.post("/api/users", json=user)
        return int(answer.json()["user_id"])


async def _cause_faults(
    everything: Replicas, report: Report, planned: Iterable[Fault], seconds: float, watch: Watch
) -> None:
    rng = random.Random(report.seed)
    began = time.monotonic()
    await asyncio.sleep(2)
    for fault in planned:
        elapsed_s = time.monotonic() - began
        if elapsed_s + fault.lasts_s > seconds:
            return
        watch(elapsed_s, fault.name)
        started = time.monotonic()
        await faults.commit(fault, everything, rng)
        report.faults.append(Committed(fault, started, time.monotonic()))
        await asyncio.sleep(fault.then_s)


async def _until_answered(sending: asyncio.Task[None]) -> None:
    """Wait until every command is answered, at most ``DRAINED_WITHIN_S``. The audit reports unanswered commands.

    Raises any exception of a client, because it is a defect of the test.
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
