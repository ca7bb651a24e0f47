"""Series that exist from the start, at zero: a rate sees the first event of a series only if it saw the series before.

Those of one service alone are begun where they are counted.
"""

from collections.abc import Iterable
from itertools import product

from chassis import telemetry
from contracts import topics
from contracts.jobs import TOPIC_OF, Channel, Kind, Service, State

SENT_TOPICS = {topic.name for topic in topics.BY_STREAM_TYPE.values()} | {topics.CANARY.name}


def of_jobs(service: Service, kinds: Iterable[Kind]) -> None:
    """What a service says that does ``kinds``."""
    telemetry.CONSUMER_PAUSED.labels(service).set(0)
    heard = {topics.CANARY.name}
    for kind in kinds:
        heard.add(TOPIC_OF[kind].name)
        telemetry.DEAD_LETTERS.labels(kind)
        for channel, outcome in product(Channel, (State.SUCCEEDED, State.FAILED)):
            telemetry.JOB_DURATION.labels(kind, channel, outcome)
    for topic in heard:
        telemetry.UNREADABLE.labels(service, topic)


def of_relay() -> None:
    """What a relay says, whether it leads or waits."""
    telemetry.RELAY_LEADER.set(0)
    for topic in SENT_TOPICS | {topics.dead_letters(service).name for service in Service}:
        telemetry.OUTBOX_SENT.labels(topic)
