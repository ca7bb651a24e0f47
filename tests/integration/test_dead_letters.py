"""Dead letters over HTTP and on the command line: list, show, redrive once, discard, and the record of each action."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from chassis.errors import DomainError, Fenced, RuleViolation
from chassis.jobs import dead_letters
from chassis.jobs.dead_letters import By, Which
from chassis.jobs.job_handler import JobHandler
from chassis.jobs.queue import Claim, finish
from cli.main import app
from contracts.jobs import Channel, Kind, State
from services.exporter import handlers as export_handlers
from tests.conftest import Api
from tests.integration.test_worker import failing, requested_job
from tests.support.bulk_students import enrol
from tests.support.exporting import asked as asked_export
from tests.support.exporting import exporting
from tests.support.job_worker import done, until_dead_lettered, working

Owner = asyncpg.Connection
WHY = "the list is on the moon"
HISTORY = "SELECT action, actor, reason, error FROM es.dead_letter_action ORDER BY id"
WAKE_UP_ROWS = "SELECT event_id::text, topic FROM es.outbox WHERE event_id IS NOT NULL AND extra IS NULL AND id > $1"
NEWEST_ROW = "SELECT coalesce(max(id), 0) FROM es.outbox"


async def dead_lettered(api: Api, database_url: str, count: int = 1) -> list[str]:
    """Create ``count`` dead letters. Return the ids of the jobs, oldest first."""
    jobs = [await requested_job(api) for _ in range(count)]
    async with working(database_url, work=failing(RuleViolation(WHY))) as worker:
        for job_id in jobs:
            await until_dead_lettered(worker, job_id)
    return jobs


async def test_a_dead_letter_is_listed_and_shown_with_its_event(api: Api, database_url: str) -> None:
    [job_id] = await dead_lettered(api, database_url)
    [listed] = (await api.get("/api/dead-letters")).json()
    assert (listed["id"], listed["kind"], listed["reason"], listed["attempts"]) == (job_id, "eligibility", WHY, 1)
    shown = (await api.get(f"/api/dead-letters/{job_id}")).json()
    assert shown["event"]["type"] == "placewire.drive.published.v1"
    assert shown["event"]["data"]["drive_id"] == 1
    assert shown["history"] == []
    assert UUID(shown["correlation_id"])
    assert (await api.get(f"/api/dead-letters/{UUID(int=7)}")).status_code == 404


async def test_the_list_is_paged_and_filtered(api: Api, database_url: str) -> None:
    jobs = await dead_lettered(api, database_url, 5)
    pages: list[str] = []
    cursor: dict[str, str] = {}
    while page := (await api.get("/api/dead-letters", params={"limit": 2, **cursor})).json():
        pages += [dead_letter["id"] for dead_letter in page]
        cursor = {"before": page[-1]["id"]}
    assert pages == jobs[::-1]
    assert (await api.get("/api/dead-letters", params={"kind": "export"})).json() == []
    assert len((await api.get("/api/dead-letters", params={"service": "eligibility"})).json()) == 5


async def test_dead_letters_are_grouped_by_error_and_one_group_is_redriven(api: Api, database_url: str) -> None:
    for error in ("drive 7 has no 'name'", "drive 12 has no 'mail'", "the storage is full"):
        job_id = await requested_job(api)
        async with working(database_url, work=failing(RuleViolation(error))) as worker:
            await until_dead_lettered(worker, job_id)
    first, second = (await api.get("/api/dead-letters/groups")).json()
    assert (first["service"], first["kind"], first["jobs"]) == ("eligibility", "eligibility", 2)
    assert (first["error_template"], first["newest_error"]) == ("drive … has no …", "drive 12 has no 'mail'")
    assert (second["error_template"], second["jobs"]) == ("the storage is full", 1)
    pattern = {"error_template": first["error_template"]}
    listed = (await api.get("/api/dead-letters", params=pattern)).json()
    assert {letter["reason"] for letter in listed} == {"drive 7 has no 'name'", "drive 12 has no 'mail'"}
    assert (await api.post("/api/dead-letters/redrive", json=pattern)).json() == {"redriven": 2, "left": 0}
    (left,) = (await api.get("/api/dead-letters/groups")).json()
    assert left["error_template"] == "the storage is full"
    assert (await api.post("/api/dead-letters/redrive", json=pattern)).json() == {"redriven": 0, "left": 0}


async def test_a_redriven_job_starts_with_no_spent_attempts_and_succeeds(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 100)
    [job_id] = await dead_lettered(api, database_url)
    newest = await owner.fetchval(NEWEST_ROW)
    answer = await api.post(f"/api/dead-letters/{job_id}/redrive", json={"reason": "it is back"})
    assert (answer.status_code, answer.json()["state"], answer.json()["job"]["delivery"]) == (202, "queued", "poll")
    assert answer.headers["Location"] == f"/api/jobs/{job_id}"
    row = await owner.fetchrow("SELECT attempts, dead_lettered, finished_at, error, fence FROM es.job")
    assert row is not None
    assert tuple(row) == (0, False, None, None, None)
    assert [tuple(row) for row in await owner.fetch(WAKE_UP_ROWS, newest)] == [(job_id, "placewire.drive")]
    async with working(database_url) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.attempts, job.error) == (State.SUCCEEDED, 1, None)
    assert (await api.get("/api/dead-letters")).json() == []
    [action] = (await api.get(f"/api/dead-letters/{job_id}")).json()["history"]
    assert (action["action"], action["reason"], action["job_error"]) == ("redriven", "it is back", WHY)
    assert action["actor"].startswith("user ")


async def test_concurrent_requests_redrive_a_job_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    [job_id] = await dead_lettered(api, database_url)
    newest = await owner.fetchval(NEWEST_ROW)
    answers = await asyncio.gather(
        *(api.post(f"/api/dead-letters/{job_id}/redrive", json={}) for _ in range(10)),
        *(api.post("/api/dead-letters/redrive", json={}) for _ in range(3)),
    )
    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    assert len(await owner.fetch(WAKE_UP_ROWS, newest)) == 1
    assert len(await owner.fetch(HISTORY)) == 1


async def test_requests_with_the_same_key_get_the_same_answer(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    [job_id] = await dead_lettered(api, database_url)
    path, key = f"/api/dead-letters/{job_id}/redrive", {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(api.post(path, json={}, headers=key) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await owner.fetch(HISTORY)) == 1


async def test_the_route_that_redrives_all_refuses_get(api: Api) -> None:
    assert (await api.get("/api/dead-letters/redrive")).status_code == 405


async def test_a_job_that_is_no_dead_letter_cannot_be_redriven_or_discarded(api: Api, database_url: str) -> None:
    queued_id = await requested_job(api)
    assert (await api.post(f"/api/dead-letters/{queued_id}/redrive", json={})).status_code == 404
    [job_id] = await dead_lettered(api, database_url)
    await api.post(f"/api/dead-letters/{job_id}/redrive", json={})
    for verb, body in (("redrive", {}), ("discard", {"reason": "no"})):
        refused = await api.post(f"/api/dead-letters/{job_id}/{verb}", json=body)
        assert refused.status_code == 409
        assert "redriven by user" in refused.json()["message"]


async def test_a_job_redriven_after_a_newer_one_is_superseded(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 100)
    [job_id] = await dead_lettered(api, database_url)
    newer = (await api.patch("/api/drives/1", json={"min_cgpa": "8"})).json()["job"]["id"]
    async with working(database_url) as worker:
        await done(worker, newer)
        await api.post(f"/api/dead-letters/{job_id}/redrive", json={})
        [job] = await done(worker, job_id)
    assert (job.state, job.result) == (State.SUCCEEDED, {"superseded": True})


async def test_the_former_claim_of_a_redriven_job_is_fenced(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    [job_id] = await dead_lettered(api, database_url)
    fence = await owner.fetchval("SELECT fence FROM es.job")
    await api.post(f"/api/dead-letters/{job_id}/redrive", json={})
    former_claim: Any = Claim(
        *(UUID(job_id), fence, 1, "eligibility", "drive-1", None, None, [], 1, "", {}, {})  # type: ignore[arg-type]
    )
    async with api.database.connection() as connection:
        with pytest.raises(Fenced):
            await finish(connection, former_claim, Channel.KAFKA, State.FAILED, error="late", dead_lettered=True)


async def test_all_of_a_kind_are_redriven(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    jobs = await dead_lettered(api, database_url, 4)
    assert (await api.post("/api/dead-letters/redrive", json={"kind": "export"})).json() == {"redriven": 0, "left": 0}
    newest = await owner.fetchval(NEWEST_ROW)
    answer = await api.post("/api/dead-letters/redrive", json={"kind": "eligibility", "reason": "fixed"})
    assert answer.json() == {"redriven": 4, "left": 0}
    assert [row["event_id"] for row in await owner.fetch(WAKE_UP_ROWS, newest)] == jobs


async def test_a_discarded_job_stays_failed_and_keeps_the_reason(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    [job_id] = await dead_lettered(api, database_url)
    for empty in ({}, {"reason": "  "}):
        assert (await api.post(f"/api/dead-letters/{job_id}/discard", json=empty)).status_code == 422
    answer = await api.post(f"/api/dead-letters/{job_id}/discard", json={"reason": "it was a test"})
    assert (answer.json()["state"], answer.json()["dead_lettered"], answer.json()["reason"]) == ("failed", False, WHY)
    assert answer.json()["history"][0]["reason"] == "it was a test"
    assert (await api.get("/api/dead-letters")).json() == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await owner.execute("DELETE FROM es.dead_letter_action")


async def test_a_failed_export_that_is_redriven_completes(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    export = await asked_export(api, kind="finished_drives")
    refusing = JobHandler(handle=failing(RuleViolation("disk full")).handle, failed=export_handlers.failed)
    async with working(database_url, work=refusing, kind=Kind.EXPORT) as worker:
        job = await until_dead_lettered(worker, export["job"]["id"])
    assert (await api.get(f"/api/exports/{export['export_id']}")).json()["state"] == "failed"
    assert job.error is not None
    await api.post(f"/api/dead-letters/{job.id}/redrive", json={})
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, job.id)
    shown = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (shown["state"], shown["reason"]) == ("completed", None)
    assert (await api.get(shown["file"])).status_code == 200


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Any:
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def run(*arguments: str, input_: str | None = None) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["dead-letters", *arguments], input=input_)

    return run


async def test_the_command_line_shows_redrives_and_discards_a_dead_letter(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, command: Any
) -> None:
    first, second = await dead_lettered(api, database_url, 2)
    listed = await command("list")
    assert listed.exit_code == 0, listed.output
    assert "2 in all" in listed.output
    assert "placewire.drive.published.v1" in (await command("show", first)).output
    assert (await command("redrive", first, "--reason", "fixed")).exit_code == 0
    refused = await command("redrive", first)
    assert (refused.exit_code, isinstance(refused.exception, DomainError)) == (1, True)
    assert (await command("discard", second, "--reason", "a test")).exit_code == 0
    actions = [(row["action"], row["reason"]) for row in await owner.fetch(HISTORY)]
    assert actions == [("redriven", "fixed"), ("discarded", "a test")]
    assert "fixed" in (await command("show", first)).output


async def test_the_command_line_redrives_all_after_a_confirmation(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, command: Any
) -> None:
    await dead_lettered(api, database_url, 3)
    refused = await command("redrive", "--all", input_="n\n")
    assert refused.exit_code == 1
    assert await owner.fetchval("SELECT count(*) FROM es.job WHERE dead_lettered") == 3
    assert "Queued 0 again" in (await command("redrive", "--all", "--kind", "export")).output
    result = await command("redrive", "--all", "--yes")
    assert (result.exit_code, "Queued 3 again" in result.output) == (0, True)
    assert await owner.fetchval("SELECT count(*) FROM es.job WHERE dead_lettered") == 0


@pytest.mark.parametrize(
    "arguments", [("redrive",), ("redrive", "x"), ("redrive", "1", "--all"), ("list", "--kind", "x")]
)
async def test_wrong_arguments_have_their_own_exit_code(arguments: tuple[str, ...], command: Any) -> None:
    result = await command(*arguments)
    assert getattr(result.exception, "code", result.exit_code) == 2


async def test_jobs_that_fail_again_during_a_redrive_of_all_are_redriven_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await dead_lettered(api, database_url, 3)
    async with api.database.transaction() as connection:
        _, moment = await dead_letters.count(connection, Which())
        which = Which(kind=Kind.ELIGIBILITY, until=moment)
        assert len(await dead_letters.redrive(connection, which, By("t"), limit=2)) == 2
        await connection.execute(
            "UPDATE es.job SET dead_lettered = true, state = 'failed', finished_at = clock_timestamp()"
        )
        assert (await dead_letters.count(connection, which))[0] == 0
        assert await dead_letters.redrive(connection, which, By("t"), limit=2) == []
    assert Counter(row["action"] for row in await owner.fetch(HISTORY)) == {"redriven": 2}
