"""Response body of the operations route."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.jobs import Service, State
from services.api.http.openapi import Count, Document, Instant, documented

Seconds = Annotated[float, Field(ge=0, examples=[0.4])]


class Outbox(Document):
    """Messages that wait for the relay. ``oldest_s`` null: none waits, or the clock was ahead when it was queued."""

    waiting: Count
    oldest_s: Seconds | None
    quarantined_keys: Count


class UnfinishedJobs(Document):
    """``oldest_s``: since the oldest was queued or started; null: the clock was ahead then."""

    service: Service
    state: State
    jobs: Count
    oldest_s: Seconds | None


class ViewsRefresh(Document):
    """The last refresh of the analytics. ``as_of``: the moment that they show. Null before the first refresh."""

    as_of: Instant | None
    finished_at: Instant | None
    duration_s: Seconds | None


class Slot(Document):
    """One time of the refresh schedule. ``requested_at``: when maintenance recorded it."""

    slot: Instant | None
    requested_at: Instant
    job_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    state: State
    finished_at: Instant | None


class Operations(Document):
    """``breakers``: by service. ``closed``: Kafka wakes its workers; ``open``: HTTP requests of the API do."""

    breakers: dict[Service, Literal["open", "closed"]]
    outbox: Outbox
    jobs: list[UnfinishedJobs]
    dead_letters: Count
    refresh: ViewsRefresh
    slots: list[Slot]


SHOW = documented(Operations, description="The state of the installation at this moment.")
