"""The API's representation of an export."""

from datetime import UTC, datetime
from typing import Any

import asyncpg

from services.api.http.presentation import instant_text

# File names of downloads, by kind.
NAMES = {
    "registrations": "registrations-drive-{drive_id}",
    "eligible_students": "eligible-students-drive-{drive_id}",
    "attendance": "attendance-drive-{drive_id}",
    "finished_drives": "finished-drives",
    "invitations": "invitations",
}


def export_object(row: asyncpg.Record) -> dict[str, Any]:
    """Return the export object. ``file``: the URL of the download, or null if there is no file."""
    downloadable = row["state"] == "completed" and row["expires_at"] > datetime.now(UTC)
    expired = row["state"] == "completed" and not downloadable
    return {
        "export_id": str(row["export_id"]),
        "kind": row["kind"],
        "format": row["format"],
        "drive_id": row["drive_id"],
        "columns": row["columns"],
        "byte_order_mark": row["byte_order_mark"],
        "delimiter": row["delimiter"],
        "state": "expired" if expired else row["state"],
        "progress": row["progress"],
        "rows": row["rows"],
        "size_bytes": row["size_bytes"],
        "sha256": row["sha256"],
        "snapshot": row["snapshot"],
        "requested_by": row["requested_by"],
        "requested_at": instant_text(row["requested_at"]),
        "ended_at": instant_text(row["ended_at"]),
        "expires_at": instant_text(row["expires_at"]),
        "reason": row["reason"],
        "file_name": file_name(row),
        "file": f"/api/exports/{row['export_id']}/file" if downloadable else None,
    }


def file_name(row: asyncpg.Record) -> str:
    """Return a name such as ``registrations-drive-42-20261124T023919Z.csv``, with the time of the request."""
    moment = row["requested_at"].astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{NAMES[row['kind']].format(drive_id=row['drive_id'])}-{moment}.{row['format']}"
