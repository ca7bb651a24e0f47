"""Every Kafka topic in one table. The key is the stream, so one drive's messages keep their order."""

from dataclasses import dataclass
from enum import IntEnum


class Lane(IntEnum):
    """The priority of outbox rows in the relay: many rows in BULK never delay a job."""

    JOBS = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. ``retention_ms`` -1: records are never deleted, so that a new reader can start at the beginning."""

    name: str
    partitions: int
    lane: Lane = Lane.JOBS
    retention_ms: int = -1


DAY_MS = 86_400_000

STUDENT = Topic("placewire.student", partitions=6, lane=Lane.BULK)
DRIVE = Topic("placewire.drive", partitions=6)
ELIGIBILITY = Topic("placewire.eligibility", partitions=6)
REGISTRATION = Topic("placewire.registration", partitions=6, lane=Lane.BULK)
EXPORT = Topic("placewire.export", partitions=6)
MAINTENANCE = Topic("placewire.maintenance", partitions=1)
# Events of users are few and request no job, so they share the topic and lane of students.
USER = STUDENT

# One partition: the probe shows that a consumer group makes progress, not that each of its members does.
PROBE = Topic("placewire.probe", partitions=1, retention_ms=3_600_000)

# The topic of each stream type. The type is the part of the stream's name before the first dash.
BY_STREAM_TYPE: dict[str, Topic] = {
    "student": STUDENT,
    "import": STUDENT,
    "user": USER,
    "drive": DRIVE,
    "eligibility": ELIGIBILITY,
    "registration": REGISTRATION,
    "attendance": REGISTRATION,
    "export": EXPORT,
    "refresh": MAINTENANCE,
    "check": MAINTENANCE,
}


def dead_letters(service: str) -> Topic:
    """Return the topic for copies of events whose jobs in ``service`` became dead letters."""
    return Topic(f"placewire.{service}.dead-letter", partitions=1, retention_ms=90 * DAY_MS)


def of_stream(stream: str) -> Topic:
    """Return the topic of ``stream``. Raises ``KeyError`` for an unknown stream type."""
    return BY_STREAM_TYPE[stream.partition("-")[0]]


def of_type(type_: str) -> Topic:
    """Return the topic of events of ``type_``, whose second word is the stream type. Raises ``KeyError`` for others."""
    return BY_STREAM_TYPE[type_.split(".")[1]]
