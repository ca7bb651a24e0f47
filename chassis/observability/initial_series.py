"""Creates metric series with the value zero at the start: otherwise ``rate`` misses the first increase of a series.

Series of a single service are created where they are counted.
"""

from collections.abc import Iterable
from itertools import product

from chassis.observability import metrics
from contracts import topics
from contracts.jobs import TOPIC_OF, Channel, Kind, Service, State

SENT_TOPICS = {topic.name for topic in topics.BY_STREAM_TYPE.values()} | {topics.CANARY.name}


def init_job_metrics(service: Service, kinds: Iterable[Kind]) -> None:
    """Create the series of a service that does jobs of ``kinds``."""
    metrics.CONSUMER_PAUSED.labels(service).set(0)
    heard = {topics.CANARY.name}
    for kind in kinds:
        heard.add(TOPIC_OF[kind].name)
        metrics.DEAD_LETTERS.labels(kind)
        for channel, outcome in product(Channel, (State.SUCCEEDED, State.FAILED)):
            metrics.JOB_DURATION.labels(kind, channel, outcome)
    for topic in heard:
        metrics.UNREADABLE.labels(service, topic)


def init_relay_metrics() -> None:
    """Create the series of a relay, leader or not."""
    metrics.RELAY_LEADER.set(0)
    for topic in SENT_TOPICS | {topics.dead_letters(service).name for service in Service}:
        metrics.OUTBOX_SENT.labels(topic)
