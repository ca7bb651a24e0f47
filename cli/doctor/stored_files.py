"""Check that the storage has the files that the database names."""

from collections.abc import AsyncIterator, Mapping

from chassis import recorded_files
from chassis.errors import StorageFailed, Unavailable
from chassis.postgres.database import Database
from chassis.storage import Storage, StorageUnusable
from cli.doctor.finding import Finding, ok, wrong

WHAT = "files"


async def look(url: str, environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Compare the newest files that the database names with the storage. Yields nothing without STORAGE_URL."""
    if not (storage_url := environment.get("STORAGE_URL")):
        return
    database = Database(url, pool_size=1, application_name="placewire-doctor")
    try:
        async with database.connection() as connection:
            found = await recorded_files.look(connection, Storage(storage_url))
    except (StorageUnusable, StorageFailed, Unavailable):
        return  # reported by the checks of the storage and of the database
    finally:
        await database.close()
    if found.is_another_storage:
        remedy = "set STORAGE_URL back to where the files are, or copy them there"
        yield wrong(WHAT, f"STORAGE_URL is not where the files are: {found}", remedy)
    elif found.missing:
        yield wrong(WHAT, f"{found}", "restore them from a backup of the storage")
    else:
        yield ok(WHAT, f"the {len(found.named)} newest files that the database names exist")
