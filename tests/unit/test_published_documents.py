"""The OpenAPI and AsyncAPI documents in contracts/ are valid and complete, and agree with the code."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import validate
from typer.testing import CliRunner

from cli.main import app
from cli.published import files
from cli.published.asyncapi import broker_of
from contracts import topics
from contracts.catalogue import EVENTS
from contracts.drives import DrivePublished
from contracts.jobs import KIND_OF, OWNER, Service
from contracts.publish import FOLDER
from services.api.main import create_app
from tests.support.drive_scenarios import EVERYONE
from tests.support.service_settings import api_settings
from tests.unit.test_contracts import envelope

ASYNCAPI = json.loads((FOLDER.parent / "asyncapi.json").read_text())
OPENAPI = json.loads((FOLDER.parent / "openapi.json").read_text())
# The official JSON schema of AsyncAPI 3.0.0, from the package @asyncapi/specs 6.11.1 (Apache-2.0).
SPECIFICATION = Path(__file__).parents[1] / "specifications" / "asyncapi-3.0.0.json.gz"


def test_they_are_those_of_the_code() -> None:
    assert [path.name for path in files.outdated()] == [], "run `make contracts`"
    result = CliRunner().invoke(app, ["contracts", "--check"])
    assert result.exit_code == 0, result.output


def test_an_outdated_document_is_reported_and_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FOLDER", tmp_path / "schemas")
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "stale.json").write_text("{}")
    assert {"asyncapi.json", "openapi.json", "stale.json", "envelope.json"} <= {path.name for path in files.outdated()}
    assert files.write()
    assert files.outdated() == []
    assert (tmp_path / "asyncapi.json").read_text() == (FOLDER.parent / "asyncapi.json").read_text()


def test_no_schema_name_holds_a_module_name() -> None:
    """FastAPI adds the module to the name of a schema when two classes share the name. Clients must not see modules."""
    assert [name for name in OPENAPI["components"]["schemas"] if "__" in name] == []


def test_asyncapi_is_valid() -> None:
    with gzip.open(SPECIFICATION) as file:
        validator = jsonschema_rs.Draft7Validator(json.load(file))
    assert [str(error) for error in validator.iter_errors(ASYNCAPI)] == []
    broken = {**ASYNCAPI, "operations": {"send": {"action": "shout"}}}
    assert not validator.is_valid(broken)


def references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)


@pytest.mark.parametrize("document", [ASYNCAPI, OPENAPI], ids=["asyncapi", "openapi"])
def test_every_reference_has_a_target(document: Any) -> None:
    for reference in set(references(document)):
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        assert target


def test_asyncapi_has_every_topic_and_event() -> None:
    channels = {channel["address"]: channel for channel in ASYNCAPI["channels"].values()}
    assert len(channels) == len(ASYNCAPI["channels"])
    event_topics = {topic.name for topic in topics.BY_STREAM_TYPE.values()}
    dead_letter_topics = {topics.dead_letters(service).name for service in Service}
    assert channels.keys() == event_topics | {topics.PROBE.name} | dead_letter_topics
    for type_, cls in EVENTS.items():
        assert type_ in channels[topics.of_type(type_).name]["messages"]
        message = ASYNCAPI["components"]["messages"][type_]
        assert message["payload"]["$ref"] == f"#/components/schemas/{cls.__name__}"
    assert channels["placewire.drive"]["bindings"]["kafka"]["partitions"] == topics.DRIVE.partitions


def receive_operations(service: Service) -> dict[str, Any]:
    """Return the receive operations of ``service`` in the document, by the address of their channel."""
    return {
        ASYNCAPI["channels"][operation["channel"]["$ref"].rpartition("/")[2]]["address"]: operation
        for name, operation in ASYNCAPI["operations"].items()
        if operation["action"] == "receive" and name.startswith(f"receive.{service}.")
    }


@pytest.mark.parametrize("service", Service)
def test_the_document_has_the_topics_and_the_group_of_a_service(service: Service) -> None:
    [subscriber] = broker_of(service, lambda *_: None).subscribers
    described = receive_operations(service)
    assert described.keys() == {topic.name for topic in subscriber.topics}  # type: ignore[attr-defined]
    groups = {operation["bindings"]["kafka"]["groupId"]["enum"][0] for operation in described.values()}
    assert groups == {subscriber.group_id}  # type: ignore[attr-defined]


@pytest.mark.parametrize("service", Service)
def test_a_service_reads_the_event_of_each_job_that_it_owns(service: Service) -> None:
    read = {
        message["$ref"].rpartition("/")[2]
        for operation in receive_operations(service).values()
        for message in operation["messages"]
    }
    assert read - {"probe"} == {type_ for type_, kind in KIND_OF.items() if OWNER[kind] is service}
    [probe] = receive_operations(service)[topics.PROBE.name]["messages"]
    assert probe["$ref"].endswith("/probe")


def test_a_kafka_record_agrees_with_its_message() -> None:
    """Validate the headers and the value of an event as the relay sends them."""
    sent = envelope()
    headers = {name: value.decode() for name, value in sent.kafka_headers()}
    schemas = {"components": ASYNCAPI["components"]}

    def validator(name: str) -> jsonschema_rs.Draft7Validator:
        return jsonschema_rs.Draft7Validator({"$ref": f"#/components/schemas/{name}", **schemas})

    validator("CloudEvent").validate(headers)
    validator(DrivePublished.__name__).validate(sent.data)
    assert not validator("CloudEvent").is_valid({name: value for name, value in headers.items() if name != "ce_id"})
    assert not validator(DrivePublished.__name__).is_valid(EVERYONE)


def test_openapi_is_valid_and_does_not_depend_on_settings(tmp_path: Path) -> None:
    assert OPENAPI["openapi"].startswith("3.1")
    validate(OPENAPI)
    other = api_settings("postgresql://postgres@127.0.0.1:9/x", tmp_path, jwt_jwks_url="https://id.example/keys")
    assert create_app(other).openapi() == OPENAPI
