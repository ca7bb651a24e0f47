"""Registrations stop while many students register. Each registration is completely accepted or refused."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import posted, stop
from tests.support.sizes import sized

Owner = asyncpg.Connection
STUDENTS = int(os.environ.get("STUDENTS") or sized(small=250, full=10_000))
AT_ONCE = 64

STOPPED = "SELECT position, recorded_at FROM es.event WHERE type = 'placewire.drive.registrations-stopped.v1'"
REGISTERED = """
SELECT position, recorded_at, version, (data ->> 'student_id')::integer AS student_id,
       (data ->> 'registration_id')::integer AS registration_id
  FROM es.event WHERE type = 'placewire.registration.registered.v1' ORDER BY position
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("keyed", [False, True], ids=["without keys", "with keys"])
async def test_a_registration_while_registrations_stop_is_accepted_or_refused(
    api: Api, owner: "Owner[asyncpg.Record]", keyed: bool
) -> None:
    students = iter(await enrol(owner, STUDENTS))
    drive_id = await posted(api)
    path = f"/api/registrations/{drive_id}/register"
    answers: dict[int, tuple[int, str]] = {}
    begun = asyncio.Event()

    async def client(waiting: Iterator[int]) -> None:
        for student_id in waiting:
            headers = {"Idempotency-Key": f"k-{student_id}"} if keyed else {}
            answer = await api.post(path, "STUDENT", student_id, headers=headers)
            answers[student_id] = (answer.status_code, answer.json().get("message", ""))
            # Stop early, because the stop waits for a connection like all other requests.
            if len(answers) == STUDENTS // 10:
                begun.set()

    async def coordinator() -> None:
        await begun.wait()
        await stop(api, drive_id)

    await asyncio.gather(coordinator(), *(client(students) for _ in range(AT_ONCE)))

    outcomes = Counter(answers.values())
    assert set(outcomes) == {(201, ""), (403, "Registration for this drive is closed.")}
    assert STUDENTS // 10 <= outcomes[201, ""] < STUDENTS
    stopped = await owner.fetchrow(STOPPED)
    registered = await owner.fetch(REGISTERED)
    assert stopped is not None
    accepted = {student_id for student_id, (status, _) in answers.items() if status == 201}
    assert {row["student_id"] for row in registered} == accepted
    assert len(registered) == len(accepted) == len({row["registration_id"] for row in registered})
    assert {row["version"] for row in registered} == {1}
    assert registered[-1]["position"] < stopped["position"]
    assert max(row["recorded_at"] for row in registered) < stopped["recorded_at"]
    rows = await owner.fetch("SELECT student_id FROM registrations WHERE drive_id = $1", drive_id)
    assert {row["student_id"] for row in rows} == accepted
    assert len(rows) == len(accepted)
    outbox_rows = await owner.fetchval("SELECT count(*) FROM es.outbox WHERE topic = 'placewire.registration'")
    assert outbox_rows == len(accepted)
    assert (await api.get(f"/api/drives/{drive_id}")).json()["status"] == "attending"
