"""``placewire doctor`` with the real servers reports what is wrong, and nothing else."""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest

from chassis.messaging.topics import every_topic
from chassis.settings import KafkaSettings
from cli.deployment.roles import ROLES
from cli.doctor import kafka, queue, settings
from cli.doctor.examination import examine
from cli.doctor.finding import Finding, State
from contracts.topics import DRIVE
from tests.integration.test_installation import placewire
from tests.support.eventually import eventually
from tests.support.system import SECRET, System, as_role

Owner = asyncpg.Connection
GOOD = {"JWT_SECRET": "pT3xkQz9vLw2mNb7RhYc4sDfGj6uEa8o1i", "INTERNAL_SECRET": "Zq1wXs2eDc3rFv4tGb5yHn6uJm7kIl8oP9"}


async def examined(url: str, environment: Mapping[str, str], queue_within_s: float | None = None) -> list[Finding]:
    return [finding async for finding in examine(url, environment, queue_within_s=queue_within_s)]


def complaints(found: list[Finding]) -> set[str]:
    assert all(finding.fix for finding in found if finding.state is State.WRONG)
    return {f"{finding.what}: {finding.message}" for finding in found if finding.state is State.WRONG}


@pytest.fixture
def bus(kafka_system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_system.kafka_bootstrap_servers)
    return kafka_system


async def test_a_test_job_passes_and_services_that_do_not_run_are_reported(bus: System, tmp_path: Any) -> None:
    """Only relay and maintenance run. So the test job succeeds, and only the other two services are reported."""
    bus.start("relay")
    bus.start("maintenance")
    url = as_role(bus.database_url, "placewire_api")
    environment = {**GOOD, "STORAGE_URL": (tmp_path / "uploads").as_uri()}

    async def job_succeeded() -> list[Finding]:
        findings = [finding async for finding in queue.send(url, 20)]
        return findings if findings[0].state is State.OK else []

    [sent] = await eventually(job_succeeded, within_s=60)
    assert sent.message.startswith("passed outbox, relay, Kafka and maintenance")
    await eventually(lambda: probed(bus.database_url), within_s=60)
    found = await examined(bus.database_url, environment, queue_within_s=20)
    assert complaints(found) == {
        "bus: eligibility has never received a record",
        "bus: exporter has never received a record",
    }
    assert {finding.what for finding in found if finding.state is State.OK} >= {
        "versions", "secrets", "storage", "database", "clock", "server log", "migrations", "roles", "Kafka", "topics",
        "bus", "outbox", "jobs", "a job",
    }  # fmt: skip
    assert not [finding for finding in found if finding.state is State.SKIPPED]
    output = " ".join(f"{finding.message} {finding.fix}" for finding in found)
    assert not [secret for secret in GOOD.values() if secret in output]


async def probed(database_url: str) -> bool:
    """Return whether maintenance has seen a probe, which is sent once a second."""
    connection = await asyncpg.connect(database_url)
    try:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM es.probe WHERE service = 'maintenance')"))
    finally:
        await connection.close()


async def test_the_doctor_reports_where_a_job_stopped(bus: System) -> None:
    [stopped] = [finding async for finding in queue.send(bus.database_url, 0.5)]
    assert (stopped.state, stopped.fix) == (State.WRONG, "start the relay and Kafka")


@pytest.mark.full_only
async def test_the_output_may_be_json_and_the_exit_code_is_1(bus: System) -> None:
    done = placewire(
        "doctor", "--json",
        DATABASE_URL=as_role(bus.database_url, "placewire_api"), KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = {(finding["what"], finding["state"]) for finding in json.loads(done.stdout)}
    assert {("Kafka", "wrong"), ("database", "ok"), ("secrets", "skipped"), ("storage", "skipped")} <= found
    away = placewire(
        "doctor", DATABASE_URL="postgresql://placewire_api@127.0.0.1:9/none", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9"
    )
    assert away.returncode == 1
    assert "WRONG  database: it cannot be reached" in away.stdout


@pytest.mark.damages
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("REVOKE INSERT ON es.event FROM placewire_api", "grants: placewire_api lacks INSERT on es.event"),
        ("UPDATE alembic_version SET version_num = '0000'", "migrations: at revision 0000"),
        ("DELETE FROM schema_object WHERE name = 'es.append'", "migrations: at revision 0001, but these functions are"),
        ("UPDATE alembic_version SET version_num = '9999'", "migrations: at revision 9999, newer than this release"),
        ("DROP TABLE alembic_version", "migrations: there are no tables yet"),
        (
            "INSERT INTO es.outbox (lane, topic, key, queued_at)"
            " VALUES (0, 'placewire.drive', 'x', now() - interval '1 hour')",
            "outbox: 1 rows, the oldest waits for 3,6",
        ),
        (
            "INSERT INTO es.job (id, service, kind, subject, dead_lettered)"
            " VALUES (gen_random_uuid(), 'exporter', 'export', 'x', true)",
            "jobs: 1 failed for good",
        ),
    ],
)
async def test_damage_is_reported(
    damage: str, complaint: str, database_url: str, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    before = complaints(await examined(database_url, GOOD))
    await owner.execute(damage)
    found = complaints(await examined(database_url, GOOD)) - before
    assert len(found) == 1
    assert found.pop().startswith(complaint)


@pytest.mark.parametrize(
    ("secrets", "complaint"),
    [
        ({"JWT_SECRET": "Xy7-Xy8"}, "JWT_SECRET is too short"),
        ({"JWT_SECRET": SECRET}, "JWT_SECRET is a public sample"),
        ({"INTERNAL_SECRET": "ab" * 20}, "INTERNAL_SECRET is not random"),
        ({"JWT_SECRET": GOOD["JWT_SECRET"], "INTERNAL_SECRET": GOOD["JWT_SECRET"]}, "are the same"),
    ],
)
async def test_weak_secrets_are_reported_and_never_printed(secrets: dict[str, str], complaint: str) -> None:
    [found] = [finding async for finding in settings.secrets({**GOOD, **secrets})]
    assert found.state is State.WRONG
    assert complaint in found.message
    assert not [value for value in secrets.values() if value in found.message]


async def test_storage_that_cannot_be_written_is_reported() -> None:
    [found] = [finding async for finding in settings.storage({"STORAGE_URL": "file:///proc/uploads"})]
    assert found.state is State.WRONG


def test_topics_are_compared_with_the_contracts() -> None:
    present = {topic.name: {"partitions": [{"replicas": [1]}] * topic.partitions} for topic in every_topic()}
    kept = {topic.name: str(topic.retention_ms) for topic in every_topic()}

    def compared(**changed: Any) -> list[str]:
        return [
            finding.message
            for finding in kafka.compared(
                DRIVE,
                changed.get("present", present),
                changed.get("kept", kept),
                KafkaSettings(kafka_replication_factor=changed.get("replicas", 1)),
            )
        ]

    assert compared() == []
    assert compared(present={}) == ["placewire.drive is missing"]
    assert "has 1 partitions instead of 6" in compared(present={DRIVE.name: {"partitions": [{"replicas": [1]}]}})[0]
    assert "keeps messages for 1000 ms" in compared(kept={DRIVE.name: "1000"})[0]
    assert "has 1 replicas" in compared(replicas=3)[0]


async def test_every_role_of_the_migrations_is_checked(owner: "Owner[asyncpg.Record]") -> None:
    roles = await owner.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'placewire\\_%'")
    assert {row["rolname"] for row in roles} == set(ROLES)
