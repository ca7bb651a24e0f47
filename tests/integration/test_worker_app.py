"""Background tasks of a service run while it serves, and end before its database connections close."""

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


async def test_background_tasks_end_before_the_connections_close(database_url: str) -> None:
    settings: ServiceSettings = eligibility_settings(database_url)
    users: list[str] = []

    def background_tasks(database: Database, _notifier: Notifier, _wake: WakeWorker) -> Sequence[Background]:
        async def role_name() -> str:
            async with database.connection() as connection:
                return str(await connection.fetchval("SELECT current_user"))

        async def forever() -> None:
            users.append(await role_name())
            try:
                await asyncio.Event().wait()
            finally:
                users.append(f"ended as {await role_name()}")

        return [forever]

    work = {Kind.ELIGIBILITY: EVALUATION}
    app = worker_app(settings, Service.ELIGIBILITY, work, subscribers.subscribe, background_tasks=background_tasks)

    async def has_started() -> bool:
        return bool(users)

    async with app.router.lifespan_context(app):
        await eventually(has_started)
        assert users == ["placewire_eligibility"]
    assert users == ["placewire_eligibility", "ended as placewire_eligibility"]
