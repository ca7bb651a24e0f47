"""Rebuild a drive's state at a moment from its events up to that moment. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import asyncpg

from chassis.errors import NotFound
from contracts.catalogue import read_event
from contracts.drives import Criteria
from services.api.drives.decider import Drive, Status, evolve


@dataclass(frozen=True, slots=True)
class DriveAsOf:
    version: int
    status: Status
    criteria: Criteria


def drive_as_of(rows: Iterable[asyncpg.Record]) -> DriveAsOf:
    """Fold rows of ``sql.DRIVE``. Raises ``NotFound`` with the reason: unknown, not yet created, or deleted."""
    drive, known = Drive(), False
    for row in rows:
        known = True
        if row["before_cutoff"]:
            # Some events of the stream are left out, so the version is set, not counted.
            drive = evolve(replace(drive, version=row["version"] - 1), read_event(row["type"], row["data"]))
    if not known:
        raise NotFound("Drive not found")
    if drive.posting is None:
        raise NotFound("This drive did not exist yet at that moment.")
    if drive.deleted:
        raise NotFound("This drive had been deleted by that moment.")
    return DriveAsOf(drive.version, drive.status, drive.posting.criteria)
