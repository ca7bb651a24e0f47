"""One trace covers a request and the statements of its job. Without tracing, nothing of it is loaded."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import asyncpg
import pytest

from contracts.drives import DrivePublished
from devstack.kafka import Kafka
from tests.e2e.test_records import counted, send
from tests.support.bulk_students import DRIVE, enrol
from tests.support.collector import Collector, Span, collecting
from tests.support.eventually import eventually
from tests.support.system import ROOT, SECRET, System, bearer

TRACE = "0af7651916cd43dd8448eb211c80319c"
UNREADABLE_TRACE = "1bf7651916cd43dd8448eb211c80319d"
CALLER = "b7ad6b7169203331"


@contextmanager
def collecting_from(system: System) -> Iterator[Collector]:
    with collecting() as collector:
        system.settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        yield collector


@pytest.fixture
def collector(system: System) -> Iterator[Collector]:
    with collecting_from(system) as collector:
        yield collector


def named(spans: list[Span], name: str) -> Span:
    [match] = [span for span in spans if span.name == name]
    return match


async def test_traces_of_requests_jobs_records_and_polls(
    kafka_system: System, kafka_alone: Kafka, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await enrol(owner, 50)
    with collecting_from(kafka_system) as collector:
        kafka_system.start_all()
        await kafka_system.until_bus_is_trusted()
        await one_trace_from_request_to_the_consumers_statements(kafka_system, collector, owner)
        await no_span_holds_the_content_of_an_unreadable_record(kafka_system, collector, kafka_alone)
        await polls_have_no_traces_and_a_request_without_a_trace_gets_one(kafka_system, collector)


async def one_trace_from_request_to_the_consumers_statements(
    system: System, collector: Collector, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with system.client() as client:
        headers = {"Prefer": "wait=10", "traceparent": f"00-{TRACE}-{CALLER}-01"}
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers=headers)
        assert answer.json()["job"]["delivery"] == "kafka", answer.text

    async def complete() -> list[Span]:
        spans = collector.of(TRACE)
        last = {"POST /api/drives", "do eligibility", "placewire.drive process", "send placewire.eligibility"}
        return spans if last <= {span.name for span in spans} else []

    spans = await eventually(complete)
    request = named(spans, "POST /api/drives")
    assert (request.service, request.kind, request.parent_id) == ("placewire-api", "server", CALLER)
    append = [span for span in spans if span.name == "SELECT es.append" and span.parent_id == request.span_id]
    assert append
    assert [span for span in spans if span.name.startswith("COMMIT") and span.parent_id == request.span_id]
    sent = [span for span in spans if span.name == "send placewire.drive"]
    assert {(span.service, span.kind, span.parent_id) for span in sent} == {
        ("placewire-relay", "producer", request.span_id)
    }
    # FastStream creates a span for each record, as a child of the span that sent it.
    consumed = [span for span in spans if span.name == "placewire.drive process"]
    assert {(span.service, span.kind) for span in consumed} == {("placewire-eligibility", "consumer")}
    assert {span.parent_id for span in consumed} <= {span.span_id for span in sent}
    job = named(spans, "do eligibility")
    assert (job.service, job.parent_id) == ("placewire-eligibility", request.span_id)
    effect = named(spans, "INSERT selections")
    assert (effect.service, effect.kind, effect.parent_id) == ("placewire-eligibility", "client", job.span_id)
    assert named(spans, "SELECT es.succeed").parent_id == job.span_id
    # The result event is sent in the same trace, as a child of the job's span.
    assert named(spans, "send placewire.eligibility").parent_id == job.span_id
    assert not [span for span in spans if span.failed]
    stored = await owner.fetch(
        "SELECT type, metadata->>'traceparent' AS parent FROM es.event WHERE type LIKE '%drive%'"
    )
    assert {row["parent"] for row in stored} == {f"00-{TRACE}-{request.span_id}-01"}


async def test_a_worker_woken_by_http_stays_in_the_trace(system: System, collector: Collector) -> None:
    system.start("eligibility")
    system.start("api")
    async with system.client() as client:
        await system.until_bus_is("open")
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers=headers)
        assert answer.json()["job"]["delivery"] == "http", answer.text

    async def complete() -> bool:
        names = {span.name for span in collector.of(TRACE) if span.service == "placewire-eligibility"}
        return {"POST /internal/jobs/{job_id}/run", "do eligibility", "SELECT es.succeed"} <= names

    await eventually(complete)


async def no_span_holds_the_content_of_an_unreadable_record(system: System, collector: Collector, kafka: Kafka) -> None:
    """The header of the record has a trace, so there is a span. Errors while the record is read quote its content."""
    event = [
        ("ce_id", b"01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10"),
        ("ce_type", DrivePublished.TYPE.encode()),
        ("ce_traceparent", f"00-{UNREADABLE_TRACE}-{CALLER}-01".encode()),
    ]
    contents = (b'{"drive_id": "secretvalue", "secretname": "secretvalue"}', b"secretvalue", b"")
    nameless = (event[1:], b'"secretvalue"')
    worker = system.processes["eligibility"]
    before = await counted(str(worker.url))
    await send(kafka, [(0, headers, None, value) for headers, value in [*((event, c) for c in contents), nameless]])

    async def all_counted() -> bool:
        return await counted(str(worker.url)) - before == len(contents) + 1

    await eventually(all_counted)

    async def all_traced() -> bool:
        spans = [span for span in collector.of(UNREADABLE_TRACE) if span.name == "placewire.drive process"]
        return len(spans) >= len(contents)

    await eventually(all_traced)
    assert b"secret" not in b"".join(collector.received).lower()
    assert "secret" not in worker.log_tail()


async def polls_have_no_traces_and_a_request_without_a_trace_gets_one(system: System, collector: Collector) -> None:
    """Breaker, relay and worker query Postgres regularly, and a probe goes through Kafka each second."""
    async with system.client() as client:
        assert (await client.get("/api/drives", params={"q": "asha@college.edu"})).status_code == 400
        assert (await client.get("/api/drives/77")).status_code == 404

    async def both_traced() -> bool:
        return {"GET /api/drives", "GET /api/drives/{drive_id}"} <= {span.name for span in collector.spans}

    await eventually(both_traced)
    for process in system.processes.values():
        process.stop(grace_s=10)
    roots = {span.name for span in collector.spans if not span.parent_id}
    assert roots == {"GET /api/job-domains", "GET /api/drives", "GET /api/drives/{drive_id}"}  # the first: wait_ready


async def test_no_span_holds_a_secret_a_mark_or_a_value_of_a_statement(system: System, collector: Collector) -> None:
    """Spans of errors must not have such values either."""
    system.start("api")
    student = {
        "name": "Asha Secretname", "email": "asha@secret.edu", "roll_number": "SECRETROLL",
        "cgpa": "7.31", "branch": "SECRETBRANCH", "password": "secret password",
    }  # fmt: skip
    user = {"name": "B", "email": "b@secret.edu", "role": "STAFF", "password": "secret password"}
    async with system.client() as client:
        assert (await client.post("/api/students", json=student)).status_code == 201
        assert (await client.post("/api/students", json=student)).status_code == 409
        assert (await client.post("/api/users", json=user)).status_code == 201
        login = {"email": user["email"], "password": user["password"]}
        token = (await client.post("/api/auth/login", json=login)).json()["token"]
        assert (await client.get("/api/drives?token=secrettoken")).status_code == 400
    system.processes["api"].stop(grace_s=10)
    assert [span for span in collector.spans if span.name == "POST /api/students"]
    assert [span for span in collector.spans if span.failed], "no span reports an error"
    wire = b"".join(collector.received).lower()
    own = bearer()["Authorization"].removeprefix("Bearer ")
    for hidden in ("secret", "7.31", token, own.rpartition(".")[2], SECRET):
        assert hidden.lower().encode() not in wire, hidden


async def test_requests_and_the_stop_are_not_delayed_while_the_collector_is_down(system: System) -> None:
    api = system.start("api", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    async with system.client() as client:
        assert (await client.get("/api/drives")).status_code == 200
    began = monotonic()
    api.stop(grace_s=15)
    assert not api.running
    assert monotonic() - began < 8


def test_without_tracing_nothing_of_it_is_loaded() -> None:
    program = """
import sys
from fastapi import FastAPI
import services.api.main, services.eligibility.main, chassis.messaging.relay_process
from chassis.observability import tracing
from chassis.messaging.relay_process import RelaySettings, create_app
from chassis.postgres.watched_connection import WatchedConnection
app = create_app(RelaySettings(database_url="postgresql://nobody@127.0.0.1:9/nothing"))
loaded = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "google"))]
assert not loaded, loaded
assert "chassis.observability.spans" not in sys.modules and "chassis.postgres.traced_connection" not in sys.modules
assert not app._native_telemetry.enabled()
assert tracing.connection_options() == {"connection_class": WatchedConnection}
same = tracing.span("a", parent=None, attributes={})
assert same is tracing.span("b", parent=None, attributes={})
assert tracing.sending([]) is tracing.sending([1])
assert tracing.broker_middlewares() == []
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
