"""Record drives and jobs as the API does, without the API."""

import asyncio
from uuid import UUID, uuid4

from bench.stage import Ground
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from contracts.drives import Criteria, DriveCreated, DrivePublished, Posting
from contracts.jobs import Service
from contracts.message import Event
from devstack.ports import LOOPBACK
from services.api.workers import Workers
from tests.support.system import HEAD_ID, SECRET

CAUSE = Cause(source="bench", correlation_id=uuid4(), actor_id=HEAD_ID)
CRITERIA = Criteria.model_validate({"min_cgpa": "6", "min_10th": "60", "min_12th": "60", "max_backlogs": 0})
ENDED = """
SELECT state, error, extract(epoch FROM pg_xact_commit_timestamp(xmin) - started_at)::float8 AS took_s
  FROM es.job WHERE id = $1 AND finished_at IS NOT NULL
"""
LOOK_EVERY_S = 0.02


async def record(ground: Ground, stream: str, *events: Event) -> tuple[UUID, ...]:
    """Append ``events`` to a new ``stream``, and return their ids."""
    async with ground.owner.transaction():
        return (await event_store.append(ground.owner, stream, events, CAUSE, expected_version=0)).ids


async def posted(ground: Ground, criteria: Criteria, *, auto_published: bool = False) -> tuple[int, UUID]:
    """Create a posted drive. Return its id, and the id of the job that selects its students."""
    drive_id: int = await ground.owner.fetchval("SELECT nextval('drive_id_seq')::integer")
    posting = Posting(company_name="Acme", job_title="SDE", job_description="Write programs. " * 20, criteria=criteria)
    events = (
        DriveCreated(drive_id=drive_id, posting=posting, posted_by=HEAD_ID),
        DrivePublished(drive_id=drive_id, criteria=criteria, published_by=HEAD_ID, auto_published=auto_published),
    )
    return drive_id, (await record(ground, f"drive-{drive_id}", *events))[1]


async def done_s(ground: Ground, service: Service, job_id: UUID) -> float:
    """Wake the running ``service`` for the job. Return the seconds from its claim to the commit of its effect.

    Both times come from the database's clock, which dates a commit before it is on disk.
    """
    workers = Workers({service: f"http://{LOOPBACK}:{ground.system.ports[service]}"}, SECRET)
    try:
        await workers.wake(service, job_id)
    finally:
        await workers.close()
    while (row := await ground.owner.fetchrow(ENDED, job_id)) is None:
        await asyncio.sleep(LOOK_EVERY_S)
    assert row["state"] == "succeeded", row["error"]
    took_s: float = row["took_s"]
    return took_s
