"""Run the clean-up of maintenance in this process, as its own database role. The test passes the time."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.storage import Storage
from services.maintenance.expiry.cleanup_loop import CleanupLoop, due_cleanup, orphan_cleanup
from services.maintenance.settings import ExpirySettings
from tests.support.system import as_role

DAY = timedelta(days=1)


@dataclass
class Maintenance:
    database: Database
    storage: Storage
    due: CleanupLoop
    orphans: CleanupLoop


@asynccontextmanager
async def maintaining(database_url: str, folder: Path, *, every_s: float = 60) -> AsyncIterator[Maintenance]:
    """Yield the clean-up loops, with the storage of the ``api`` fixture. They run only when the test calls them.

    ``folder``: the test's ``tmp_path``.
    """
    url = as_role(database_url, "placewire_maintenance")
    database = Database(url, pool_size=6, application_name="test-maintenance")
    notifier = Notifier(url, application_name="test-maintenance-notify")
    storage = Storage((folder / "uploads").as_uri())
    settings = ExpirySettings(expiry_every_s=every_s, orphans_every_s=every_s)
    try:
        yield Maintenance(
            database,
            storage,
            due_cleanup(settings, storage, database, notifier),
            orphan_cleanup(settings, storage, database),
        )
    finally:
        await database.close()


def after(*, days: float = 0, seconds: float = 0) -> datetime:
    """Return the current time plus ``days`` and ``seconds``."""
    return datetime.now(UTC) + timedelta(days=days, seconds=seconds)


def aged(path: Path, *, days: float) -> Path:
    """Set the modification time of ``path`` to ``days`` ago. Return ``path``."""
    moment = after(days=-days).timestamp()
    os.utime(path, (moment, moment))
    return path
