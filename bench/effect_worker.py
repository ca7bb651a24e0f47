"""A service for the benches: the whole ``chassis`` with one handler, which inserts a row.

Like every handler, it also appends its result event in the same transaction.
"""

from pydantic import Field

from bench.effects import INSERT
from chassis.http.service import serve
from chassis.jobs.job_handler import JobHandler, Outcome
from chassis.jobs.queue import Claim
from chassis.jobs.worker_app import worker_app
from chassis.postgres.database import Connection
from chassis.settings import ServiceSettings, load
from contracts.checks import CheckRequested
from contracts.jobs import Kind, Service
from services.maintenance import checks, subscribers


class WorkerSettings(ServiceSettings):
    port: int = Field(description="port to listen on")


async def effect(connection: Connection, claimed: Claim) -> Outcome:
    await connection.execute(INSERT, checks.check_id_of(claimed))
    return await checks.answer(connection, claimed)


if __name__ == "__main__":
    settings = load(WorkerSettings, environment="development")
    work = {Kind.CHECK: JobHandler(handle=effect, failed=checks.failed, batchable=frozenset({CheckRequested.TYPE}))}
    serve(worker_app(settings, Service.MAINTENANCE, work, subscribers.subscribe), settings)
