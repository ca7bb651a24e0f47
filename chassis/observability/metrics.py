"""Every metric of the product in one list.

A process creates its series with the value zero when it starts. Otherwise ``rate`` would miss the first increase.
Series that only one service has are created by that service.
"""

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

from contracts import topics
from contracts.jobs import TOPIC_OF, Channel, Kind, Service, State

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Histogram(
    "placewire_http_request_duration_seconds",
    "Time to answer a request, by route template",
    ["method", "route", "status"],
    buckets=LATENCY_S,
)
HTTP_IN_HAND = Gauge("placewire_http_requests_in_hand", "Requests that this process is handling")
HTTP_ANSWERS = Counter("placewire_http_answers_total", "Answered requests, by the first digit of the status", ["class"])
JOB_DURATION = Histogram(
    "placewire_job_duration_seconds",
    "Time from queuing a job to its end",
    ["kind", "channel", "outcome"],
    buckets=LATENCY_S,
)
JOBS = Gauge("placewire_jobs", "Jobs that have not ended", ["service", "state"])
JOBS_OLDEST = Gauge(
    "placewire_jobs_oldest_seconds", "How long the oldest job has been in its state", ["service", "state"]
)
VIEW_STALENESS = Gauge("placewire_view_staleness_seconds", "Age of the data that a view shows", ["view"])
VIEW_REFRESH_DURATION = Gauge("placewire_view_refresh_duration_seconds", "Duration of a view's last refresh", ["view"])
VIEW_ROWS = Gauge("placewire_view_rows", "Rows of a view after its last refresh", ["view"])
OUTBOX_DEPTH = Gauge("placewire_outbox_depth", "Rows waiting for Kafka", ["lane"])
OUTBOX_AGE = Gauge("placewire_outbox_age_seconds", "Age of the oldest row waiting for Kafka", ["lane"])
OUTBOX_SENT = Counter("placewire_outbox_sent_total", "Rows that Kafka received", ["topic"])
OUTBOX_QUARANTINED = Gauge("placewire_outbox_quarantined_keys", "Keys held back because Kafka refused a row for good")
RELAY_LEADER = Gauge("placewire_relay_leader", "1 in the relay that sends, 0 in others")
PROBE_AGE = Gauge(
    "placewire_probe_age_seconds", "Age of the newest probe that a consumer has seen; +Inf: none", ["service"]
)
BREAKER_OPEN = Gauge("placewire_breaker_open", "1 while the API wakes this service by HTTP", ["service"])
EXPORT_ROWS = Counter("placewire_export_rows_total", "Rows written to files", ["kind", "format"])
EXPORT_BYTES = Counter("placewire_export_bytes_total", "Bytes written to files", ["kind", "format"])
EXPIRED = Counter("placewire_expired_total", "Items deleted because they expired or nothing needs them", ["what"])
EXPIRY_DURATION = Histogram(
    "placewire_expiry_duration_seconds",
    "Duration of a search for items that can be deleted",
    ["what"],
    buckets=LATENCY_S,
)
EXPIRY_FAILURES = Counter(
    "placewire_expiry_failures_total", "Items that could not be deleted and will be retried", ["what"]
)
DEAD_LETTERS = Counter("placewire_dead_letters_total", "Jobs that became dead letters", ["kind"])
DEAD_LETTERS_OPEN = Gauge("placewire_dead_letters_open", "Dead letters that wait for a decision", ["service"])
CONSUMER_PAUSED = Gauge(
    "placewire_consumer_paused", "1 while a worker is paused after too many failed jobs in a row", ["service"]
)
UNREADABLE = Counter(
    "placewire_unreadable_records_total", "Kafka records that are not events of Placewire", ["service", "topic"]
)
SUBSCRIPTION_LAG = Gauge(
    "placewire_subscription_lag_seconds", "Age of the oldest event that is not handled yet; 0: none", ["subscription"]
)
SUBSCRIPTION_BEHIND = Gauge(
    "placewire_subscription_events_behind", "Events that are not handled yet, counted up to 10,000", ["subscription"]
)
SUBSCRIPTION_FAILED = Gauge(
    "placewire_subscription_failed", "1 while it has stopped before an event that cannot be handled", ["subscription"]
)
POOL_CONNECTIONS = Gauge("placewire_database_connections", "Connections of this process's pool", ["state"])
POOL_SIZE = Gauge("placewire_database_pool_size", "Connections that this process's pool may hold")
LOGINS = Counter("placewire_logins_total", "Sign-in attempts", ["outcome"])
# Figures for the placement cell, taken from the views. Labels name drives, companies and branches, never students.
DRIVES = Gauge("placewire_drives", "Drives", ["status"])
FUNNEL = Gauge("placewire_funnel_students", "Students who reached the stage, summed over all drives", ["stage"])
DRIVE_FUNNEL = Gauge(
    "placewire_drive_students",
    "Students who reached the stage, for the newest unfinished drives",
    ["drive", "company", "title", "stage"],
)
BRANCH_STUDENTS = Gauge("placewire_branch_students", "Students who reached the stage, by branch", ["branch", "stage"])

SENT_TOPICS = {topic.name for topic in topics.BY_STREAM_TYPE.values()} | {topics.PROBE.name}


def init_job_metrics(service: Service, kinds: Iterable[Kind]) -> None:
    """Create the series of a service that does jobs of ``kinds``."""
    CONSUMER_PAUSED.labels(service).set(0)
    consumed = {topics.PROBE.name}
    for kind in kinds:
        consumed.add(TOPIC_OF[kind].name)
        DEAD_LETTERS.labels(kind)
        for channel, outcome in product(Channel, (State.SUCCEEDED, State.FAILED)):
            JOB_DURATION.labels(kind, channel, outcome)
    for topic in consumed:
        UNREADABLE.labels(service, topic)


def init_relay_metrics() -> None:
    """Create the series of a relay, whether it leads or not."""
    RELAY_LEADER.set(0)
    for topic in SENT_TOPICS | {topics.dead_letters(service).name for service in Service}:
        OUTBOX_SENT.labels(topic)
