"""Envelopes, events and criteria survive serialization unchanged."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts import topics
from contracts.catalogue import EVENTS, UnknownEvent, read_event
from contracts.drives import Criteria, DrivePublished
from contracts.jobs import KIND_OF, OWNER, TOPIC_OF
from contracts.message import Envelope

PUBLISHED = DrivePublished(drive_id=7, criteria=Criteria(min_cgpa=Decimal("7.50")), published_by=1)


def envelope() -> Envelope:
    return Envelope(
        id=UUID(int=1),
        type=PUBLISHED.TYPE,
        source="/placewire/api",
        subject="drive-7",
        time=datetime(2026, 8, 3, 9, tzinfo=UTC),
        streamversion=2,
        correlationid=UUID(int=2),
        actorid=1,
        data=PUBLISHED.model_dump(mode="json"),
    )


def test_an_envelope_survives_kafka_headers() -> None:
    sent = envelope()
    headers = sent.kafka_headers()
    assert dict(headers)["ce_specversion"] == b"1.0"
    assert dict(headers)["ce_id"] == str(sent.id).encode()
    assert Envelope.from_kafka(headers, sent.data) == sent


def test_decimals_keep_their_trailing_zeros() -> None:
    assert envelope().data["criteria"]["min_cgpa"] == "7.50"
    assert read_event(PUBLISHED.TYPE, envelope().data) == PUBLISHED


def test_a_reader_ignores_what_a_newer_producer_added() -> None:
    assert read_event(PUBLISHED.TYPE, envelope().data | {"added_later": 1}) == PUBLISHED


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(UnknownEvent):
        read_event("placewire.drive.vanished.v1", {})


def test_an_old_version_is_upcast_on_reading() -> None:
    def from_v0(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return PUBLISHED.TYPE, {**data, "published_by": data["by"]}

    old = {name: value for name, value in envelope().data.items() if name != "published_by"} | {"by": 1}
    assert read_event("placewire.drive.published.v0", old, {"placewire.drive.published.v0": from_v0}) == PUBLISHED


@pytest.mark.parametrize("mark", ["11", "NaN", "7.555", "-1"])
def test_a_criterion_out_of_range_is_refused(mark: str) -> None:
    with pytest.raises(ValidationError):
        Criteria.model_validate({"min_cgpa": mark})


def test_every_event_type_has_a_version() -> None:
    assert all(type_.startswith("placewire.") and type_.rpartition(".v")[2].isdigit() for type_ in EVENTS)


def test_every_job_kind_has_an_owner_and_a_topic() -> None:
    assert set(KIND_OF.values()) == set(OWNER) == set(TOPIC_OF)


def test_an_undeclared_stream_has_no_topic() -> None:
    with pytest.raises(KeyError):
        topics.of_stream("mystery-1")
