"""The lists that every open screen polls: drives and job domains."""

import asyncio

import orjson

from chassis.database import Connection, Database
from services.api.domains import sql as domains
from services.api.drives import sql as drives
from services.api.drives.view import drive_object
from services.api.links import Links
from services.api.snapshots import Snapshot

# NOTIFY inside the changing transaction: drives and domains change rarely, and are polled by everyone.
CHANNEL = "placewire_lists"
TELL = "SELECT pg_notify($1, '')"


async def tell_changed(connection: Connection) -> None:
    """Inside the transaction that changes a drive or a job domain: every replica drops its lists at the commit."""
    await connection.execute(TELL, CHANNEL)


class PolledLists:
    """A snapshot of each list, and of the drives one for those who see pending ones and one for the others."""

    channel = CHANNEL

    def __init__(self, database: Database, links: Links) -> None:
        self._database = database
        self._links = links
        self.all_drives = Snapshot(lambda: self._drives(with_pending=True))
        self.published_drives = Snapshot(lambda: self._drives(with_pending=False))
        self.domains = Snapshot(self._domains)
        self._snapshots = (self.all_drives, self.published_drives, self.domains)

    def drop(self) -> None:
        """For who has just changed a drive or a domain, before he says so: the notice may come after his answer."""
        for snapshot in self._snapshots:
            snapshot.drop()

    def noticed(self, _payload: str) -> None:
        self.drop()

    def connected(self) -> None:
        for snapshot in self._snapshots:
            snapshot.keep(True)

    def lost(self) -> None:
        for snapshot in self._snapshots:
            snapshot.keep(False)

    async def _drives(self, *, with_pending: bool) -> bytes:
        async with self._database.connection() as connection:
            rows = await drives.list_all(connection, with_pending=with_pending)
        # In a thread: the drives of several seasons would block the event loop too long.
        return await asyncio.to_thread(lambda: orjson.dumps([drive_object(row, self._links) for row in rows]))

    async def _domains(self) -> bytes:
        async with self._database.connection() as connection:
            rows = await domains.list_all(connection)
        return orjson.dumps([dict(row) for row in rows])
