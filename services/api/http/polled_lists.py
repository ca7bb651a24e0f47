"""Cache the lists that every open screen polls: drives and job domains."""

import asyncio

import orjson

from chassis.postgres.database import Connection, Database
from services.api.domains import sql as domains
from services.api.drives import sql as drives
from services.api.drives.view import drive_object
from services.api.http.cached_response import CachedResponse
from services.api.http.links import Links

# The transaction that changes a list also sends the notification. Lists change rarely, and all screens poll them.
CHANNEL = "placewire_lists"
NOTIFY = "SELECT pg_notify($1, '')"


async def notify_changed(connection: Connection) -> None:
    """Make every replica drop its cached lists when the caller's transaction commits."""
    await connection.execute(NOTIFY, CHANNEL)


class PolledLists:
    """The cached lists: job domains, all drives, and the drives that are not pending."""

    channel = CHANNEL

    def __init__(self, database: Database, links: Links) -> None:
        self._database = database
        self._links = links
        self.all_drives = CachedResponse(lambda: self._drives(with_pending=True))
        self.published_drives = CachedResponse(lambda: self._drives(with_pending=False))
        self.domains = CachedResponse(self._domains)
        self._lists = (self.all_drives, self.published_drives, self.domains)

    def drop(self) -> None:
        """Drop the lists of this replica at once. The notification may arrive later than the response to the change."""
        for cached in self._lists:
            cached.drop()

    def noticed(self, _payload: str) -> None:
        self.drop()

    def connected(self) -> None:
        for cached in self._lists:
            cached.keep(True)

    def lost(self) -> None:
        for cached in self._lists:
            cached.keep(False)

    async def _drives(self, *, with_pending: bool) -> bytes:
        async with self._database.connection() as connection:
            rows = await drives.list_all(connection, with_pending=with_pending)
        # In a thread, because the drives of several seasons would block the event loop too long.
        return await asyncio.to_thread(lambda: orjson.dumps([drive_object(row, self._links) for row in rows]))

    async def _domains(self) -> bytes:
        async with self._database.connection() as connection:
            rows = await domains.list_all(connection)
        return orjson.dumps([dict(row) for row in rows])
