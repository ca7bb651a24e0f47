"""The materialized views and the clock. Producer: services/maintenance (a manual request: services/api)."""

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.message import Event


class RefreshCause(StrEnum):
    SCHEDULE = "schedule"
    CHANGE = "change"
    REQUEST = "request"


class RefreshRequested(Event):
    """The views should show what is in the tables now (job kind *refresh*). ``slot``: when it was due, if it was."""

    TYPE = "placewire.refresh.requested.v1"

    refresh_id: UUID
    cause: RefreshCause
    slot: AwareDatetime | None = None


class ViewsRefreshed(Event):
    """Every view was refreshed by a run that began at ``began_at``; earlier requests are answered by it too."""

    TYPE = "placewire.refresh.refreshed.v1"

    refresh_id: UUID
    began_at: AwareDatetime
    duration_s: float = Field(ge=0)


class RefreshFailed(Event):
    TYPE = "placewire.refresh.failed.v1"

    refresh_id: UUID
    reason: str
