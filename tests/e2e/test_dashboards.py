"""A real Prometheus has data for every query of a dashboard and every series of an alert."""

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
    """Send a request, wait until its job has ended, and return the job."""
    answer = await client.request(method, path, headers=WAIT, **options)
    assert answer.status_code in (200, 201, 202), answer.text
    job_id = answer.json()["job"]["id"]

    async def ended_job() -> dict[str, Any] | None:
        job: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}")).json()
        return job if job["state"] in ("succeeded", "failed") else None

    job = await eventually(ended_job, within_s=40)
    assert job is not None
    return job


async def publish_and_register(client: httpx.AsyncClient, owner: "Owner[asyncpg.Record]") -> int:
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


async def sign_in_as_staff(client: httpx.AsyncClient) -> None:
    person = {"name": "Staff", "email": "staff@college.edu", "role": "STAFF", "password": "correct horse"}
    assert (await client.post("/api/users", json=person)).status_code == 201
    for password, status in (("correct horse", 200), ("wrong", 401)):
        await sign_in(client, password, status)


async def sign_in(client: httpx.AsyncClient, password: str, status: int) -> None:
    answer = await client.post("/api/auth/login", json={"email": "staff@college.edu", "password": password})
    assert answer.status_code == status


async def export_with_and_without_storage(system: System, client: httpx.AsyncClient, drive_id: int) -> None:
    folder = system.folder / "uploads" / "temp"
    folder.rename(folder.with_name("away")) if folder.exists() else None
    folder.write_text("a file in place of the folder")
    request = {"kind": "registrations", "drive_id": drive_id, "format": "csv"}
    job = await ended(client, "POST", "/api/exports", json=request)
    assert (job["state"], job["dead_lettered"]) == ("failed", True)
    folder.unlink()
    assert (await ended(client, "POST", "/api/exports", json=request))["state"] == "succeeded"


async def run_jobs_without_relay(system: System, client: httpx.AsyncClient) -> None:
    """Run a job that a poll finds while the breaker is still closed, then a job for which the API wakes the worker."""
    system.processes["relay"].kill()
    assert (await ended(client, "POST", "/api/drives", json=AUTO))["channel"] == "poll"
    await system.until_bus_is("open")
    assert (await ended(client, "POST", "/api/drives", json=AUTO))["channel"] == "http"
    system.start("relay")
    await system.until_bus_is_trusted()


async def use_everything(system: System, owner: "Owner[asyncpg.Record]") -> None:
    async with system.client() as client:
        drive_id = await publish_and_register(client, owner)
        await sign_in_as_staff(client)
        await export_with_and_without_storage(system, client, drive_id)
        await run_jobs_without_relay(system, client)
        assert (await ended(client, "POST", "/api/analytics/refresh"))["state"] == "succeeded"
        # The first failed sign-in created the series. A rate needs a second one.
        await sign_in(client, "wrong", 401)


async def poll_drives(system: System) -> None:
    async with system.client() as client:
        while True:
            await client.get("/api/drives")
            await asyncio.sleep(0.1)


async def without_data(prometheus: Prometheus, expressions: dict[str, str]) -> dict[str, str]:
    """Return the ``expressions`` that have no value within 30 s."""
    missing = dict(expressions)

    async def all_have_data() -> bool:
        results = await asyncio.gather(*(prometheus.values(expression) for expression in missing.values()))
        for place, values in zip(list(missing), results, strict=True):
            if values:
                del missing[place]
        return not missing

    with suppress(AssertionError):
        await eventually(all_have_data, within_s=30)
    return missing


def filled_in(expression: str, board: dict[str, Any]) -> str:
    """Return the expression as Grafana sends it, with *All* chosen for every variable."""
    chosen = {f"${v['name']}": v["allValue"] for v in board["templating"]["list"] if v["type"] == "query"}
    for name, value in sorted((BUILT_IN | chosen).items(), key=lambda pair: -len(pair[0])):
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def all_expressions() -> dict[str, str]:
    """Return every expression of recording rules, alerts and dashboards, by its place."""
    expressions = {f"recorded {name}": name for name in RECORDED}
    for name, alert in ALERTS.items():
        series_of_alert = NAMED.findall(re.sub(r'"[^"]*"', "", alert["expr"]))
        expressions |= {f"alert {name}: {series}": series for series in series_of_alert}
    for name, board in DASHBOARDS.items():
        for number, (title, expression) in enumerate(queries(board)):
            expressions[f"{name}, {title} ({number})"] = filled_in(expression, board)
        for variable in board["templating"]["list"]:
            if variable["type"] == "query" and (found := VARIABLE_QUERY.fullmatch(variable["query"]["query"])):
                expressions[f"{name}, variable {variable['name']}"] = f"count by ({found['label']}) ({found['series']})"
    return expressions


@needs_prometheus
@pytest.mark.full_only
@pytest.mark.timeout(300)
async def test_every_query_of_dashboards_and_alerts_has_data(
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
        polling = asyncio.create_task(poll_drives(system))
        try:
            await use_everything(system, owner)
            missing = await without_data(prometheus, all_expressions())
        finally:
            polling.cancel()
        assert missing == {}
        await the_rules_work(prometheus)


async def the_rules_work(prometheus: Prometheus) -> None:
    groups = (await prometheus.get("/api/v1/rules"))["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert {name: rule["lastError"] for name, rule in rules.items() if rule["health"] != "ok"} == {}
    # There is a dead letter, and every process is up.
    assert rules["PlacewireDeadLetters"]["state"] == "firing"
    assert rules["PlacewireServiceAbsent"]["state"] == "inactive"
    [alert] = rules["PlacewireDeadLetters"]["alerts"]
    assert alert["annotations"]["summary"] == "1 jobs of exporter were given up and wait for a decision"
    targets = (await prometheus.get("/api/v1/targets"))["activeTargets"]
    assert {target["labels"]["job"]: target["health"] for target in targets} == {
        f"placewire-{name}": "up" for name in ("api", "eligibility", "exporter", "maintenance", "relay")
    }
