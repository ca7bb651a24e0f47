"""Every query of every dashboard, and every series that an alert looks at, answered by a real Prometheus."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.users import Role
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.prometheus import (
    ALERTS,
    DASHBOARDS,
    NAMED,
    RECORDED,
    Prometheus,
    needs_prometheus,
    queries,
    scraping,
)
from tests.support.system import System, bearer

Owner = asyncpg.Connection

AUTO = {**DRIVE, "auto_calc": True}
WAIT = {"Prefer": "wait=20"}
BUILT_IN = {"$__rate_interval": "5m"}
VARIABLE_QUERY = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")


async def ended(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    """The job that the request asked for, once it has ended."""
    answer = await client.request(method, path, headers=WAIT, **options)
    assert answer.status_code in (200, 201, 202), answer.text
    job_id = answer.json()["job"]["id"]

    async def over() -> dict[str, Any] | None:
        job: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}")).json()
        return job if job["state"] in ("succeeded", "failed") else None

    found = await eventually(over, within_s=40)
    assert found is not None
    return found


async def a_drive_is_published_and_registered_for(client: httpx.AsyncClient, owner: "Owner[asyncpg.Record]") -> int:
    job = await ended(client, "POST", "/api/drives", json=AUTO)
    assert (job["state"], job["channel"]) == ("succeeded", "kafka")
    drive_id = int(job["subject"].rpartition("-")[2])
    chosen = await owner.fetch("SELECT student_id FROM selections WHERE drive_id = $1 LIMIT 3", drive_id)
    for row in chosen:
        answer = await client.post(
            f"/api/registrations/{drive_id}/register", headers=bearer(Role.STUDENT, row["student_id"])
        )
        assert answer.status_code == 201, answer.text
    return drive_id


async def people_sign_in(client: httpx.AsyncClient) -> None:
    person = {"name": "Staff", "email": "staff@college.edu", "role": "STAFF", "password": "correct horse"}
    assert (await client.post("/api/users", json=person)).status_code == 201
    for password, status in (("correct horse", 200), ("wrong", 401)):
        await sign_in(client, password, status)


async def sign_in(client: httpx.AsyncClient, password: str, status: int) -> None:
    answer = await client.post("/api/auth/login", json={"email": "staff@college.edu", "password": password})
    assert answer.status_code == status


async def one_export_is_given_up_and_one_is_not(system: System, client: httpx.AsyncClient, drive_id: int) -> None:
    in_the_way = system.folder / "uploads" / "temp"
    in_the_way.rename(in_the_way.with_name("away")) if in_the_way.exists() else None
    in_the_way.write_text("no folder")
    asked = {"kind": "registrations", "drive_id": drive_id, "format": "csv"}
    job = await ended(client, "POST", "/api/exports", json=asked)
    assert (job["state"], job["dead"]) == ("failed", True)
    in_the_way.unlink()
    assert (await ended(client, "POST", "/api/exports", json=asked))["state"] == "succeeded"


async def the_bus_is_away_for_a_while(system: System, client: httpx.AsyncClient) -> None:
    """Run a job that a poll finds, because the breaker is still closed; then one that the API wakes a worker for."""
    system.processes["relay"].kill()
    assert (await ended(client, "POST", "/api/drives", json=AUTO))["channel"] == "poll"
    await system.until_bus_is("open")
    assert (await ended(client, "POST", "/api/drives", json=AUTO))["channel"] == "http"
    system.start("relay")
    await system.until_bus_is_trusted()


async def a_bit_of_everything(system: System, owner: "Owner[asyncpg.Record]") -> None:
    async with system.client() as client:
        drive_id = await a_drive_is_published_and_registered_for(client, owner)
        await people_sign_in(client)
        await one_export_is_given_up_and_one_is_not(system, client, drive_id)
        await the_bus_is_away_for_a_while(system, client)
        assert (await ended(client, "POST", "/api/analytics/refresh"))["state"] == "succeeded"
        # The first of its kind made the series; a rate sees the second.
        await sign_in(client, "wrong", 401)


async def screens_poll(system: System) -> None:
    async with system.client() as client:
        while True:
            await client.get("/api/drives")
            await asyncio.sleep(0.1)


async def without_answer(prometheus: Prometheus, asked: dict[str, str]) -> dict[str, str]:
    """Those of ``asked`` that say no number within a while."""
    missing = dict(asked)

    async def all_answer() -> bool:
        found = await asyncio.gather(*(prometheus.values(expression) for expression in missing.values()))
        for place, values in zip(list(missing), found, strict=True):
            if values:
                del missing[place]
        return not missing

    with suppress(AssertionError):
        await eventually(all_answer, within_s=30)
    return missing


def filled_in(expression: str, board: dict[str, Any]) -> str:
    """As Grafana sends it, with *All* chosen."""
    chosen = {f"${v['name']}": v["allValue"] for v in board["templating"]["list"] if v["type"] == "query"}
    for name, value in sorted((BUILT_IN | chosen).items(), key=lambda pair: -len(pair[0])):
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def everything_that_is_asked() -> dict[str, str]:
    """Where it stands, and the expression."""
    asked = {f"recorded {name}": name for name in RECORDED}
    for name, alert in ALERTS.items():
        asked |= {f"alert {name}: {series}": series for series in NAMED.findall(re.sub(r'"[^"]*"', "", alert["expr"]))}
    for name, board in DASHBOARDS.items():
        for number, (title, expression) in enumerate(queries(board)):
            asked[f"{name}, {title} ({number})"] = filled_in(expression, board)
        for variable in board["templating"]["list"]:
            if variable["type"] == "query" and (found := VARIABLE_QUERY.fullmatch(variable["query"]["query"])):
                asked[f"{name}, variable {variable['name']}"] = f"count by ({found['label']}) ({found['series']})"
    return asked


@needs_prometheus
@pytest.mark.full_only
@pytest.mark.timeout(300)
async def test_everything_that_dashboards_and_alerts_ask_has_an_answer(
    kafka_system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    system = kafka_system
    await enrol(owner, 300)
    await owner.execute("INSERT INTO es.subscription (name) VALUES ('mailer')")
    for name in ("eligibility", "exporter", "maintenance", "relay", "api"):
        system.start(name, wait=False, STORAGE_TRIES="1", EXPIRY_EVERY_S="2", ORPHANS_EVERY_S="2")
    for process in system.processes.values():
        process.wait_ready()
    async with scraping(system) as prometheus:
        await system.until_bus_is_trusted()
        polling = asyncio.create_task(screens_poll(system))
        try:
            await a_bit_of_everything(system, owner)
            missing = await without_answer(prometheus, everything_that_is_asked())
        finally:
            polling.cancel()
        assert missing == {}
        await the_rules_work(prometheus)


async def the_rules_work(prometheus: Prometheus) -> None:
    groups = (await prometheus.get("/api/v1/rules"))["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert {name: rule["lastError"] for name, rule in rules.items() if rule["health"] != "ok"} == {}
    # There is a dead letter, and every process answers.
    assert rules["PlacewireDeadLetters"]["state"] == "firing"
    assert rules["PlacewireServiceAbsent"]["state"] == "inactive"
    [alert] = rules["PlacewireDeadLetters"]["alerts"]
    assert alert["annotations"]["summary"] == "1 jobs of exporter were given up and wait for a decision"
    targets = (await prometheus.get("/api/v1/targets"))["activeTargets"]
    assert {target["labels"]["job"]: target["health"] for target in targets} == {
        f"placewire-{name}": "up" for name in ("api", "eligibility", "exporter", "maintenance", "relay")
    }
