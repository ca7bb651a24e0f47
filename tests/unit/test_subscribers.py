"""A Kafka record wakes the worker of the service that acts on it. An unreadable record is counted.

These tests need no broker.
"""

import asyncio
import json
import threading
from typing import Any
from uuid import UUID

import pytest
from faststream.kafka import KafkaBroker, TestKafkaBroker
from hypothesis import HealthCheck, given, settings
from prometheus_client import REGISTRY

from cli.published.asyncapi import broker_of
from contracts import topics
from contracts.catalogue import EVENTS
from contracts.drives import DrivePublished
from contracts.jobs import KIND_OF, OWNER, TOPIC_OF, Channel, Service
from contracts.publish import schemas
from tests.support.from_schema import written

JOB = UUID(int=7)
HEADERS = {"content-type": "application/json", "ce_specversion": "1.0", "ce_id": str(JOB)}
PUBLISHED = {**HEADERS, "ce_type": DrivePublished.TYPE}
GOOD = DrivePublished.model_validate({"drive_id": 7, "criteria": {}, "published_by": 1}).model_dump_json().encode()
TOPICS = {owner: TOPIC_OF[kind].name for kind, owner in OWNER.items()}


def woken_by(service: Service, *records: tuple[str, dict[str, str], bytes]) -> list[tuple[UUID, Channel]]:
    """Return the wake-ups of the worker of ``service`` for these records: topic, headers and value."""
    woken: list[tuple[UUID, Channel]] = []
    broker = broker_of(service, lambda job_id, channel: woken.append((job_id, channel)))
    asyncio.run(_consume(broker, records))
    return woken


async def _consume(broker: KafkaBroker, records: tuple[tuple[str, dict[str, str], bytes], ...]) -> None:
    """Publish the records, and check that no handler ran in a thread.

    FastStream runs plain functions and context parameters in threads, and each thread is expensive.
    """
    async with TestKafkaBroker(broker):
        for topic, headers, value in records:
            await broker.publish(value, topic=topic, headers=headers, key=b"a-stream")
        assert [thread.name for thread in threading.enumerate() if "AnyIO" in thread.name] == []


def unreadable(service: Service, topic: str) -> float:
    labels = {"service": service.value, "topic": topic}
    return REGISTRY.get_sample_value("placewire_unreadable_records_total", labels) or 0


@pytest.mark.parametrize("type_", KIND_OF)
def test_each_event_that_requests_a_job_wakes_its_owner(type_: str) -> None:
    service = OWNER[KIND_OF[type_]]
    count_before = unreadable(service, TOPICS[service])

    @settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(written(json.loads(schemas()[f"{type_}.json"])))
    def wakes(data: dict[str, Any]) -> None:
        record = (TOPICS[service], {**HEADERS, "ce_type": type_}, json.dumps(data).encode())
        assert woken_by(service, record) == [(JOB, Channel.KAFKA)]

    wakes()
    assert unreadable(service, TOPICS[service]) == count_before


@pytest.mark.parametrize("service", Service)
def test_other_events_and_probes_wake_no_worker_and_are_not_counted(service: Service) -> None:
    counts_before = [unreadable(service, topic) for topic in (TOPICS[service], topics.PROBE.name)]
    ours = {type_ for type_, kind in KIND_OF.items() if OWNER[kind] is service}
    others = [
        (TOPICS[service], {**HEADERS, "ce_type": type_}, b"{}")
        for type_ in (*sorted(EVENTS.keys() - ours), "placewire.thing.of-a-newer-release.v1")
    ]
    assert woken_by(service, *others, (topics.PROBE.name, {}, b"2026-08-03T09:00:00+00:00")) == []
    assert [unreadable(service, topic) for topic in (TOPICS[service], topics.PROBE.name)] == counts_before


@pytest.mark.parametrize(
    ("topic", "headers", "value"),
    [
        (topics.DRIVE.name, {}, b"{}"),
        (topics.DRIVE.name, PUBLISHED, b"\xff\x00"),
        (topics.DRIVE.name, PUBLISHED, b'{"drive_id": '),
        (topics.DRIVE.name, PUBLISHED, b"[]"),
        (topics.DRIVE.name, PUBLISHED, b'{"drive_id": "seven"}'),
        (topics.DRIVE.name, PUBLISHED, b""),
        (topics.DRIVE.name, {**PUBLISHED, "ce_id": "not-a-uuid"}, GOOD),
        (topics.DRIVE.name, {name: value for name, value in PUBLISHED.items() if name != "ce_type"}, b"{}"),
        (topics.PROBE.name, {}, b"not a time"),
    ],
    ids=str,
)
def test_an_unreadable_record_is_counted_and_the_next_record_wakes_the_worker(
    topic: str, headers: dict[str, str], value: bytes
) -> None:
    count_before = unreadable(Service.ELIGIBILITY, topic)
    good = (topics.DRIVE.name, PUBLISHED, GOOD)
    assert woken_by(Service.ELIGIBILITY, (topic, headers, value), good) == [(JOB, Channel.KAFKA)]
    assert unreadable(Service.ELIGIBILITY, topic) == count_before + 1
