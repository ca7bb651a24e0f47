"""Refreshes of the materialized views. Producer: services/maintenance (a manual request: services/api)."""

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.message import Event


class RefreshCause(StrEnum):
    SCHEDULE = "schedule"
    CHANGE = "change"
    REQUEST = "request"


class RefreshRequested(Event):
    """Requests a refresh of the views (job kind *refresh*). ``slot``: the planned time, if the schedule caused it."""

    TYPE = "placewire.refresh.requested.v1"

    refresh_id: UUID
    cause: RefreshCause
    slot: AwareDatetime | None = None


class ViewsRefreshed(Event):
    """All views were refreshed by a run that began at ``began_at``. The run also answers earlier requests."""

    TYPE = "placewire.refresh.refreshed.v1"

    refresh_id: UUID
    began_at: AwareDatetime
    duration_s: float = Field(ge=0)


class RefreshFailed(Event):
    TYPE = "placewire.refresh.failed.v1"

    refresh_id: UUID
    reason: str
