"""Refresh the views, and record that it was done. Called by the runner, whichever road the event took."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from uuid import UUID

from chassis.database import Connection, Database
from chassis.jobs import Claim
from chassis.progress import Progress
from chassis.work import Handle, Outcome
from contracts.maintenance import RefreshFailed, ViewsRefreshed
from contracts.message import Event
from services.maintenance import sql
from services.maintenance.sql import Refreshed


@asynccontextmanager
async def refresh(database: Database, _claimed: Claim, _progress: Progress) -> AsyncIterator[Handle]:
    """Refresh every view in a transaction of its own; the handle records it. Doing it again does no harm."""
    moment, views = await sql.refresh_all(database)
    yield partial(record, moment, views)


async def record(moment: datetime, views: list[Refreshed], _connection: Connection, claimed: Claim) -> Outcome:
    duration_s = sum(view.duration_s for view in views)
    event = ViewsRefreshed(refresh_id=refresh_id_of(claimed), began_at=moment, duration_s=duration_s)
    result = {"began_at": moment.isoformat(), "rows": {view.view: view.rows for view in views}}
    return Outcome(result, claimed.subject, [event])


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """What is recorded when the refresh is given up."""
    return claimed.subject, RefreshFailed(refresh_id=refresh_id_of(claimed), reason=reason)


def refresh_id_of(claimed: Claim) -> UUID:
    # Not from the event: that it cannot be read may be the reason.
    return UUID(claimed.subject.removeprefix("refresh-"))
