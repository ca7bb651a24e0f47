"""Base classes of events, and their mapping to CloudEvents 1.0 on Kafka."""

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SPEC_VERSION = "1.0"
JSON = "application/json"
# The largest id: PostgreSQL's integer.
MAX_INTEGER = 2**31 - 1


class Message(BaseModel):
    """A frozen value. Unknown fields are ignored, so that a producer can add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(Message):
    """A fact, in the past tense.

    ``TYPE`` names the schema and its major version (``placewire.drive.published.v1``). A new optional field
    keeps the version. Any other change needs a new class and an upcaster in ``catalogue``.
    """

    TYPE: ClassVar[str]


class Envelope(Message):
    """An event with its id, stream, version, time and cause.

    Readers recognise a repeated delivery by ``id``. ``subject`` is the stream. ``streamversion`` counts the events of
    the stream from 1, without gaps. Attribute names are those of CloudEvents 1.0. Names of extensions may have only
    lower-case letters and digits.
    """

    id: UUID
    type: str
    source: str
    subject: str
    time: AwareDatetime
    streamversion: int = Field(ge=1)
    correlationid: UUID
    causationid: UUID | None = None
    actorid: int | None = None
    traceparent: str | None = None
    data: dict[str, Any]

    def attributes(self) -> dict[str, str]:
        """Return every CloudEvents attribute except ``data``, as text, without absent ones."""
        fields = self.model_dump(mode="json", exclude={"data"}, exclude_none=True)
        return {"specversion": SPEC_VERSION} | {name: str(value) for name, value in fields.items()}

    def kafka_headers(self) -> list[tuple[str, bytes]]:
        """Return the headers of the binary mode.

        Source: CloudEvents Kafka protocol binding 1.0.2, section 3.2.3.
        """
        headers = [(f"ce_{name}", value.encode()) for name, value in self.attributes().items()]
        return [("content-type", JSON.encode()), *headers]

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, bytes]], data: dict[str, Any]) -> "Envelope":
        """Return the envelope of a binary-mode record. Raises ``pydantic.ValidationError`` for missing attributes."""
        return cls.model_validate(
            {name.removeprefix("ce_"): value.decode() for name, value in headers if name.startswith("ce_")}
            | {"data": data}
        )
