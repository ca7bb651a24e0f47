"""What a service runs beside its jobs: with its database, while it serves, and no longer."""

import asyncio
from collections.abc import Sequence

from chassis.http.service import Background
from chassis.jobs.worker_app import worker_app
from chassis.messaging.subscribers import WakeWorker
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.settings import ServiceSettings
from contracts.jobs import Kind, Service
from services.eligibility import subscribers
from tests.support.eventually import eventually
from tests.support.job_worker import EVALUATION
from tests.support.service_settings import eligibility_settings


async def test_tasks_beside_the_jobs_end_before_the_connections_close(database_url: str) -> None:
    settings: ServiceSettings = eligibility_settings(database_url)
    seen: list[str] = []

    def background_tasks(database: Database, _notifier: Notifier, _wake: WakeWorker) -> Sequence[Background]:
        async def ask() -> str:
            async with database.connection() as connection:
                return str(await connection.fetchval("SELECT current_user"))

        async def forever() -> None:
            seen.append(await ask())
            try:
                await asyncio.Event().wait()
            finally:
                seen.append(f"ended as {await ask()}")

        return [forever]

    work = {Kind.ELIGIBILITY: EVALUATION}
    app = worker_app(settings, Service.ELIGIBILITY, work, subscribers.subscribe, background_tasks=background_tasks)

    async def begun() -> bool:
        return bool(seen)

    async with app.router.lifespan_context(app):
        await eventually(begun)
        assert seen == ["placewire_eligibility"]
    assert seen == ["placewire_eligibility", "ended as placewire_eligibility"]
