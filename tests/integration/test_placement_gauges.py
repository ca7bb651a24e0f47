"""The gauges of the placement dashboard show the values of the views, and name only open drives."""

import asyncpg
from prometheus_client import REGISTRY

from chassis.errors import RuleViolation
from chassis.jobs.job_handler import JobHandler, Outcome
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection, Database
from services.eligibility import handlers
from services.maintenance import gauges, sql
from services.maintenance.placement_gauges import STAGES, PlacementGauges
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.drive_scenarios import finished, posted, register
from tests.support.job_worker import until_dead_lettered, working
from tests.support.system import as_role


def drives_shown() -> dict[str, dict[str, float]]:
    """Return the gauge of students by drive and stage."""
    [family] = [family for family in REGISTRY.collect() if family.name == "placewire_drive_students"]
    values: dict[str, dict[str, float]] = {}
    for sample in family.samples:
        values.setdefault(sample.labels["drive"], {})[sample.labels["stage"]] = sample.value
    return values


async def test_the_gauges_show_the_values_of_the_views(
    api: Api, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    ids = await enrol(owner, 9)
    first = await posted(api, company_name="Acme")
    await register(api, first, *ids[:4])
    await finished(api, ids[4:6], ids[6:7])
    database = Database(as_role(database_url, "placewire_maintenance"), pool_size=2, application_name="test-gauges")
    placement = PlacementGauges()
    try:
        await sql.refresh_all(database)
        async with database.connection() as connection:
            await placement.set_from(connection)
        assert drives_shown().keys() == {str(first)}
        assert drives_shown()[str(first)].keys() == set(STAGES)
        assert drives_shown()[str(first)]["registered"] == 4
        for status, count in (("posted", 1), ("finished", 1), ("pending", 0)):
            assert REGISTRY.get_sample_value("placewire_drives", {"status": status}) == count
        for stage, count in (("registered", 7), ("present", 2)):
            assert REGISTRY.get_sample_value("placewire_funnel_students", {"stage": stage}) == count
        branch = {"branch": "CSE", "stage": "students"}
        assert REGISTRY.get_sample_value("placewire_branch_students", branch) == 3

        # The gauge of a deleted drive disappears with the next refresh of the views, not earlier.
        assert (await api.delete(f"/api/drives/{first}")).status_code in (200, 204)
        async with database.connection() as connection:
            await placement.set_from(connection)
        assert drives_shown().keys() == {str(first)}
        await sql.refresh_all(database)
        async with database.connection() as connection:
            await placement.set_from(connection)
        assert drives_shown() == {}
    finally:
        await database.close()


async def fail(_connection: Connection, _claimed: Claim) -> Outcome:
    raise RuleViolation("no")


async def test_open_dead_letters_are_counted(api: Api, database_url: str) -> None:
    answer = await api.post("/api/drives", json={**DRIVE, "auto_calc": True})
    job_id = answer.json()["job"]["id"]
    service = {"service": "eligibility"}
    database = Database(as_role(database_url, "placewire_maintenance"), pool_size=2, application_name="test-gauges")
    try:
        async with database.connection() as connection:
            await gauges.set_from(connection)
        assert REGISTRY.get_sample_value("placewire_dead_letters_open", service) == 0
        async with working(database_url, work=JobHandler(handle=fail, failed=handlers.failed)) as worker:
            await until_dead_lettered(worker, job_id)
        async with database.connection() as connection:
            await gauges.set_from(connection)
        assert REGISTRY.get_sample_value("placewire_dead_letters_open", service) == 1
    finally:
        await database.close()
