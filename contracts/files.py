"""Where files are kept, and what they are called: who writes, serves and clears them away must mean the same."""

import re
from uuid import UUID

EXPORTS = "temp"
JOB_DESCRIPTIONS = "job-descriptions"
# A drive names its PDF by the address at which it is served.
SERVED_BELOW = "/uploads/"

_EXPORT = re.compile(rf"{EXPORTS}/(?P<id>[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})-[0-9]+\.[a-z]+")


def export_path(export_id: UUID, format_: str, fence: int) -> str:
    """Each attempt has a name of its own, so that one that was thought dead cannot touch another's file."""
    return f"{EXPORTS}/{export_id}-{fence}.{format_}"


def export_of(path: str) -> UUID | None:
    """The export that ``path`` was written for; ``None``: this is no such file."""
    found = _EXPORT.fullmatch(path)
    return UUID(found["id"]) if found else None
