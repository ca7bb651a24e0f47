"""Paths of stored files, for the services that write, serve and delete them."""

import re
from uuid import UUID

EXPORTS = "temp"
JOB_DESCRIPTIONS = "job-descriptions"
# The prefix of a PDF's address. A drive stores this address, not the path.
SERVED_BELOW = "/uploads/"

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Release 0.1 used no folder per export, and a number in place of the token.
_EXPORT = re.compile(rf"{EXPORTS}/(?P<id>{_UUID})(?:/{_UUID}|-[0-9]+)\.[a-z]+")


def export_folder(export_id: UUID) -> str:
    """Return the folder for the files of all attempts at an export."""
    return f"{EXPORTS}/{export_id}"


def export_path(export_id: UUID, format_: str, fence: UUID) -> str:
    """Return the path for the claim with the token ``fence``. No other claim writes to it."""
    return f"{export_folder(export_id)}/{fence}.{format_}"


def export_of(path: str) -> UUID | None:
    """Return the export that ``path`` was written for; ``None`` for any other file."""
    match = _EXPORT.fullmatch(path)
    return UUID(match["id"]) if match else None
