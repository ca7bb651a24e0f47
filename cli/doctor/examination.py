"""Run all checks of ``doctor``, in the order of their dependencies."""

from collections.abc import AsyncIterator, Mapping

from pydantic import ValidationError

from chassis.settings import KafkaSettings
from cli.doctor import database, kafka, queue, settings, stored_files
from cli.doctor.finding import Finding, State, wrong


async def examine(url: str, environment: Mapping[str, str], *, queue_within_s: float | None) -> AsyncIterator[Finding]:
    """Yield all findings. ``queue_within_s``: also send a test job, and wait at most this many seconds for it."""
    async for finding in settings.versions():
        yield finding
    async for finding in settings.secrets(environment):
        yield finding
    async for finding in settings.storage(environment):
        yield finding
    log_readable = False
    async for finding in database.look(url):
        yield finding
        # Without adoption the log cannot be read, so the checks that need it are left out.
        log_readable = (
            log_readable or finding.what == "closed log" or (finding.what == "log" and finding.state is State.OK)
        )
    async for finding in _bus():
        yield finding
    if log_readable:
        async for finding in stored_files.look(url, environment):
            yield finding
        async for finding in queue.look(url):
            yield finding
        if queue_within_s is not None:
            async for finding in queue.send(url, queue_within_s):
                yield finding


async def _bus() -> AsyncIterator[Finding]:
    try:
        kafka_settings = KafkaSettings()
    except ValidationError as error:
        names = ", ".join(str(problem["loc"][0]).upper() for problem in error.errors())
        yield wrong("Kafka", f"its settings are wrong: {names}", "see .env.example")
        return
    async for finding in kafka.look(kafka_settings):
        yield finding
