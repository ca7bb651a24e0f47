"""Where files are kept, and what they are called: who writes, serves and clears them away must mean the same."""

import re
from uuid import UUID

EXPORTS = "temp"
JOB_DESCRIPTIONS = "job-descriptions"
# A drive names its PDF by the address at which it is served.
SERVED_BELOW = "/uploads/"

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Release 0.1 made no folder for each export, and had a number in the place of the token.
_EXPORT = re.compile(rf"{EXPORTS}/(?P<id>{_UUID})(?:/{_UUID}|-[0-9]+)\.[a-z]+")


def export_folder(export_id: UUID) -> str:
    """Return where all attempts at an export put their files."""
    return f"{EXPORTS}/{export_id}"


def export_path(export_id: UUID, format_: str, fence: UUID) -> str:
    """Return the path that the claim with the token ``fence`` writes to, and no other claim ever does."""
    return f"{export_folder(export_id)}/{fence}.{format_}"


def export_of(path: str) -> UUID | None:
    """The export that ``path`` was written for; ``None``: this is no such file."""
    found = _EXPORT.fullmatch(path)
    return UUID(found["id"]) if found else None
