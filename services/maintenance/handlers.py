"""Refresh the views and record the refresh. The worker calls these handlers for every delivery channel.

A refresh also completes every other request that was recorded before it began: at once, or when a worker claims that
request's job. A refresh never completes a request if it could not see the changes made before that request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

from chassis.jobs import queue
from chassis.jobs.job_handler import Handle, Outcome
from chassis.jobs.progress import Progress
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection, Database
from contracts.maintenance import RefreshFailed, ViewsRefreshed
from contracts.message import Event
from services.maintenance import sql
from services.maintenance.sql import Run


@asynccontextmanager
async def refresh(database: Database, claimed: Claim, _progress: Progress) -> AsyncIterator[Handle]:
    """Refresh every view, unless the last refresh began after the request. The yielded handler records the refresh.

    The refresh has its own transaction. Safe to repeat: if a worker dies before it records its refresh, the next worker
    finds that refresh and records it. Raises ``Contended`` when a manual refresh locks the views for too long.
    """
    yield partial(record, await sql.answer(database, claimed.id))


async def record(run: Run, connection: Connection, claimed: Claim) -> Outcome:
    """Record the refresh ``run``, and end the other jobs that it completes.

    ``absorbed_by`` in the result is the job whose refresh completed this job. It is null after a manual refresh, which
    has no job.
    """
    began_at: dict[str, Any] = {"began_at": run.began_at.isoformat()}
    absorbed = began_at | {"absorbed_by": None if run.id is None else str(run.id)}
    ended = await queue.absorb(connection, run.answers, absorbed)
    if run.id != claimed.id:
        return Outcome(absorbed, ended=ended)
    event = ViewsRefreshed(
        refresh_id=refresh_id_of(claimed),
        began_at=run.began_at,
        duration_s=sum(view.duration_s for view in run.views),
    )
    result = began_at | {"rows": {view.view: view.rows for view in run.views}}
    return Outcome(result, claimed.subject, [event], ended)


def failed(claimed: Claim, reason: str) -> tuple[str, Event]:
    """Return the stream and the failure event of a refresh."""
    return claimed.subject, RefreshFailed(refresh_id=refresh_id_of(claimed), reason=reason)


def refresh_id_of(claimed: Claim) -> UUID:
    # The id comes from the subject, because the event may be unreadable.
    return UUID(claimed.subject.removeprefix("refresh-"))
