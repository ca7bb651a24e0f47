"""Generate the AsyncAPI 3 document: every topic with its messages, writers and readers.

FastStream's generator describes what each service reads. It inspects the service's broker, which is never started.
Everything else comes from ``contracts``: the generator knows no relay, CloudEvents, keys, partitions or group ids.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from chassis.messaging.kafka import Consumer
from chassis.messaging.subscribers import Subscribe, WakeWorker
from chassis.postgres.database import Database
from chassis.settings import KafkaSettings
from contracts import topics
from contracts.catalogue import EVENTS
from contracts.jobs import KIND_OF, OWNER, TOPIC_OF, Service
from contracts.message import JSON, Envelope, Event
from contracts.topics import Topic
from services.eligibility import subscribers as eligibility
from services.exporter import subscribers as exporter
from services.maintenance import subscribers as maintenance

DESCRIPTION = """
Facts about drives, students and what they do, as CloudEvents 1.0 in binary mode: the attributes are headers (`ce_…`),
the record's value is the event's data. The key is the stream, so one stream stays in order. A record may come twice,
with the same `ce_id`. Ignore unknown types and fields: types gain optional fields, and nothing else about them changes.
""".strip()
BINDING = "0.5.0"
PROBE = "probe"
ADDRESS = "127.0.0.1:9092"
SUBSCRIBE: dict[Service, Subscribe] = {
    Service.ELIGIBILITY: eligibility.subscribe,
    Service.EXPORTER: exporter.subscribe,
    Service.MAINTENANCE: maintenance.subscribe,
}


def document(version: str) -> dict[str, Any]:
    """Return the document as JSON values. Deterministic, and without any connection."""
    on_topics = _on_topics()
    operations = {**dict(_sent(on_topics)), **dict(_received(on_topics))}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Placewire", "version": version, "description": DESCRIPTION, "license": {"name": "MIT"}},
        "defaultContentType": JSON,
        "servers": {"kafka": _server()},
        "channels": {_short(topic): _channel(topic, names) for topic, names in on_topics.items()},
        "operations": dict(sorted(operations.items())),
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _on_topics() -> dict[Topic, list[str]]:
    """Return every topic with the names of its messages."""
    names: dict[Topic, list[str]] = defaultdict(list)
    for type_ in EVENTS:
        names[topics.of_type(type_)].append(type_)
    for service in Service:
        names[topics.dead_letters(service)] = list(_job_events(service))
    names[topics.PROBE] = [PROBE]
    return names


def _job_events(service: Service) -> Iterator[str]:
    return (type_ for type_, kind in KIND_OF.items() if OWNER[kind] is service)


def _sent(on_topics: dict[Topic, list[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the operation of everything that the relay sends."""
    for topic, names in on_topics.items():
        yield f"send.{_short(topic)}", _operation("send", topic, names)


def _received(on_topics: dict[Topic, list[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the operation of everything that the services receive."""
    by_address = {topic.name: topic for topic in on_topics}
    for service in Service:
        generated = _generated(service)
        for channel in generated["channels"].values():
            topic = by_address[channel["address"]]
            read = _payloads(generated, channel)
            names = [name for name in on_topics[topic] if name == PROBE or EVENTS[name].__name__ in read]
            group = {"type": "string", "enum": [f"placewire-{service}"]}
            yield (
                f"receive.{service}.{_short(topic)}",
                {
                    **_operation("receive", topic, names),
                    "bindings": {"kafka": {"groupId": group, "bindingVersion": BINDING}},
                },
            )


def broker_of(service: Service, wake: WakeWorker) -> KafkaBroker:
    """Return the broker of ``service`` with a subscriber that calls ``wake``. The broker is not connected."""
    settings = KafkaSettings(kafka_bootstrap_servers=ADDRESS, kafka_security_protocol="PLAINTEXT")
    database = Database("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1, application_name="placewire-contracts")
    topics_read = list(dict.fromkeys(TOPIC_OF[kind] for kind, owner in OWNER.items() if owner is service))
    return Consumer(settings, database, service, topics_read, SUBSCRIBE[service], wake).broker()


def _generated(service: Service) -> dict[str, Any]:
    """Return the document that FastStream generates from the broker of ``service``."""
    broker = broker_of(service, lambda *_: None)
    generated: dict[str, Any] = AsyncAPI(broker, schema_version="3.0.0").to_specification().to_jsonable()
    return generated


def _payloads(generated: dict[str, Any], channel: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that handlers of ``channel`` accept."""
    [message] = channel["messages"].values()
    payload = _resolved(generated, message)["payload"]
    return {each["$ref"].rpartition("/")[2] for each in payload["oneOf"]}


def _resolved(generated: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    part = generated
    for name in reference["$ref"].removeprefix("#/").split("/"):
        part = part[unquote(name)]
    return part


def _server() -> dict[str, Any]:
    return {
        "host": "{bootstrapServers}",
        "protocol": "kafka",
        "variables": {"bootstrapServers": {"default": ADDRESS, "description": "KAFKA_BOOTSTRAP_SERVERS"}},
    }


def _channel(topic: Topic, names: Iterable[str]) -> dict[str, Any]:
    return {
        "address": topic.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": topic.retention_ms},
                "bindingVersion": BINDING,
            }
        },
    }


def _operation(action: str, topic: Topic, names: Iterable[str]) -> dict[str, Any]:
    channel = f"#/channels/{_short(topic)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in names],
    }


def _messages() -> dict[str, Any]:
    probe = {
        "name": PROBE,
        "summary": "The time of sending (ISO 8601). It shows that Kafka delivers. Other readers can ignore it.",
        "contentType": "text/plain",
        "payload": {"type": "string", "format": "date-time"},
    }
    return {type_: _message(type_, cls) for type_, cls in EVENTS.items()} | {PROBE: probe}


def _message(type_: str, cls: type[Event]) -> dict[str, Any]:
    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    return {
        "name": type_,
        "title": cls.__name__,
        **({"summary": summary} if summary else {}),
        "contentType": JSON,
        "headers": {"$ref": "#/components/schemas/CloudEvent"},
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "payload": {"$ref": f"#/components/schemas/{cls.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": "the stream"}, "bindingVersion": BINDING}},
    }


def _schemas() -> dict[str, Any]:
    events: list[tuple[type[Event], JsonSchemaMode]] = [(cls, "validation") for cls in EVENTS.values()]
    _, described = models_json_schema(events, ref_template="#/components/schemas/{model}")
    return dict(sorted(described["$defs"].items())) | {"CloudEvent": _cloud_event()}


def _cloud_event() -> dict[str, Any]:
    fields = Envelope.model_json_schema()["properties"]
    attributes = {f"ce_{name}": {"type": "string"} for name in fields if name != "data"}
    needed = [f"ce_{name}" for name, field in Envelope.model_fields.items() if field.is_required() and name != "data"]
    return {
        "type": "object",
        "description": "CloudEvents 1.0. ce_subject: the stream; ce_streamversion: the event's number in it, from 1.",
        "properties": {
            "content-type": {"const": JSON},
            "ce_specversion": {"const": "1.0"},
            **attributes,
            "traceparent": {"type": "string", "description": "W3C Trace Context of this hop, if tracing is enabled"},
        },
        "required": ["content-type", "ce_specversion", *needed],
    }


def _short(topic: Topic) -> str:
    return topic.name.removeprefix("placewire.")
