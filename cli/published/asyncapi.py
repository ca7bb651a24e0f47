"""The AsyncAPI 3 document: every topic, what is on it, who writes and who reads.

FastStream makes it from a broker that is described here and never started; its subscribers are typed, as those of the
services are not: a service reads no more of a record than its headers. FastStream puts one nameless message on each
topic, knows nothing of CloudEvents, keys and partitions, and gives names that AsyncAPI does not allow (``a:b``): its
channels are put together by address, and their messages told from the contracts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Union

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI

from contracts import topics
from contracts.catalogue import EVENTS
from contracts.jobs import KIND_OF, OWNER, Service
from contracts.message import JSON, Envelope, Event
from contracts.topics import Topic

DESCRIPTION = """
Facts about drives, students and what they do, as CloudEvents 1.0 in binary mode: the attributes are headers (`ce_…`),
the record's value is the event's data. The key is the stream, so one stream stays in order. A record may come twice:
`ce_id` tells. Ignore unknown types and fields: types gain optional fields, and nothing else about them changes.
""".strip()
BINDING = "0.5.0"
CANARY = "canary"
ADDRESS = "127.0.0.1:9092"


def document(version: str) -> dict[str, Any]:
    """JSON, the same for the same code."""
    made = AsyncAPI(
        _broker(), title="Placewire", version=version, description=DESCRIPTION, schema_version="3.0.0",
        license={"name": "MIT"},
    ).to_specification().to_jsonable()  # fmt: skip
    return {
        "asyncapi": made["asyncapi"],
        "info": made["info"],
        "defaultContentType": JSON,
        "servers": {"kafka": _server()},
        "channels": {_short(topic): _channel(topic, names) for topic, names in _on_topics().items()},
        "operations": dict(_operations(made)),
        "components": {"messages": _messages(), "schemas": _schemas(made)},
    }


def _on_topics() -> dict[Topic, list[str]]:
    """Every topic with the names of its messages."""
    found: dict[Topic, list[str]] = defaultdict(list)
    for type_ in EVENTS:
        found[topics.of_type(type_)].append(type_)
    for service in Service:
        found[topics.dead_letters(service)] = list(_acted_on(service))
    found[topics.CANARY] = [CANARY]
    return found


def _acted_on(service: Service) -> Iterator[str]:
    return (type_ for type_, kind in KIND_OF.items() if OWNER[kind] is service)


def _heard() -> Iterator[tuple[Service, Topic, list[str]]]:
    for service in Service:
        by_topic: dict[Topic, list[str]] = defaultdict(list)
        for type_ in _acted_on(service):
            by_topic[topics.of_type(type_)].append(type_)
        for topic, names in {**by_topic, topics.CANARY: [CANARY]}.items():
            yield service, topic, names


def _broker() -> KafkaBroker:
    broker = KafkaBroker(ADDRESS)
    for topic, names in _on_topics().items():
        broker.publisher(topic.name, schema=_one_of(names), title=f"send.{_short(topic)}")
    for service, topic, names in _heard():
        subscriber = broker.subscriber(
            topic.name, group_id=f"placewire-{service}", title=f"receive.{service}.{_short(topic)}"
        )
        subscriber(_typed(_one_of(names)))
    return broker


def _one_of(names: Iterable[str]) -> Any:
    return Union[tuple(EVENTS.get(name, str) for name in names)]  # noqa: UP007 - made at run time


def _typed(payload: Any) -> Any:
    async def heard(message: Any) -> None:
        """Described, never called."""

    heard.__annotations__["message"] = payload
    return heard


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


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    of_subscriber = {f"receive.{service}.{_short(topic)}": (service, names) for service, topic, names in _heard()}
    on_topic = {topic.name: names for topic, names in _on_topics().items()}
    for name, operation in sorted(made["operations"].items()):
        address = made["channels"][operation["channel"]["$ref"].removeprefix("#/channels/")]["address"]
        service, names = of_subscriber.get(name, (None, on_topic[address]))
        channel = f"#/channels/{address.removeprefix('placewire.')}"
        described: dict[str, Any] = {
            "action": operation["action"],
            "channel": {"$ref": channel},
            "messages": [{"$ref": f"{channel}/messages/{each}"} for each in names],
        }
        if service is not None:
            group = {"type": "string", "enum": [f"placewire-{service}"]}
            described["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING}}
        yield name, described


def _messages() -> dict[str, Any]:
    canary = {
        "name": CANARY,
        "summary": "The moment it was sent, ISO 8601: proof that the bus is moving. Nobody else needs it.",
        "contentType": "text/plain",
        "payload": {"type": "string", "format": "date-time"},
    }
    return {type_: _message(type_, cls) for type_, cls in EVENTS.items()} | {CANARY: canary}


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


def _schemas(made: dict[str, Any]) -> dict[str, Any]:
    ours = {name: schema for name, schema in made["components"]["schemas"].items() if ":" not in name}
    return dict(sorted(ours.items())) | {"CloudEvent": _cloud_event()}


def _cloud_event() -> dict[str, Any]:
    fields = Envelope.model_json_schema()["properties"]
    attributes = {f"ce_{name}": {"type": "string"} for name in fields if name != "data"}
    needed = [f"ce_{name}" for name, field in Envelope.model_fields.items() if field.is_required() and name != "data"]
    return {
        "type": "object",
        "description": "CloudEvents 1.0. ce_subject: the stream; ce_streamversion: the place in it, from 1.",
        "properties": {
            "content-type": {"const": JSON},
            "ce_specversion": {"const": "1.0"},
            **attributes,
            "traceparent": {"type": "string", "description": "W3C Trace Context of this hop, where traces are on"},
        },
        "required": ["content-type", "ce_specversion", *needed],
    }


def _short(topic: Topic) -> str:
    return topic.name.removeprefix("placewire.")
