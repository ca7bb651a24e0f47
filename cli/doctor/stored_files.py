"""Check that the storage has the files that the database refers to."""

from collections.abc import AsyncIterator, Mapping

from chassis import recorded_files
from chassis.errors import StorageFailed, Unavailable
from chassis.postgres.database import Database
from chassis.storage import Storage, StorageUnusable
from cli.doctor.finding import Finding, ok, wrong

WHAT = "files"


async def look(url: str, environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Check that the newest files in the database's records exist in the storage. Yield nothing without STORAGE_URL."""
    if not (storage_url := environment.get("STORAGE_URL")):
        return
    database = Database(url, pool_size=1, application_name="placewire-doctor")
    try:
        async with database.connection() as connection:
            files = await recorded_files.look(connection, Storage(storage_url))
    except (StorageUnusable, StorageFailed, Unavailable):
        return  # reported by the checks of the storage and of the database
    finally:
        await database.close()
    if files.is_another_storage:
        remedy = "set STORAGE_URL back to where the files are, or copy them there"
        yield wrong(WHAT, f"STORAGE_URL is not where the files are: {files}", remedy)
    elif files.missing:
        yield wrong(WHAT, f"{files}", "restore them from a backup of the storage")
    else:
        yield ok(WHAT, f"the {len(files.named)} newest files that the database names exist")
