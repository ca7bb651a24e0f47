"""Routes for notifications."""

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.http.responses import json_response
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, Anyone
from services.api.http.presentation import instant_text
from services.api.notifications import openapi, sql

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/notifications", tags=["notifications"])

# JavaScript represents integers exactly up to this value.
MAX_ID = 2**53 - 1


@router.get("/mine", **openapi.MINE)
async def mine(ctx: ContextDep, caller: Anyone, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
    """Return ``{items, unread_count}``, newest first. The count covers all notifications, not only ``items``."""
    async with ctx.database.connection() as connection:
        items = await sql.newest(connection, caller.user_id, limit=limit)
        unread = await sql.unread(connection, caller.user_id)
    return json_response({"items": [_item(row) for row in items], "unread_count": unread})


@router.patch("/{notification_id}/read", **openapi.READ)
async def read(notification_id: Annotated[int, Path(ge=1, le=MAX_ID)], ctx: ContextDep, caller: Anyone) -> Response:
    """Mark a notification as read and return ``{item, unread_count}``. Idempotent. 404 also for other users' items."""
    async with ctx.database.transaction() as connection:
        row = await sql.read(connection, caller.user_id, notification_id)
        if row is None:
            raise NotFound("Notification not found")
        unread = await sql.unread(connection, caller.user_id)
    return json_response({"item": {"user_id": row["user_id"], **_item(row)}, "unread_count": unread})


@router.post("/read-all", **openapi.READ_ALL)
async def read_all(ctx: ContextDep, caller: Anyone) -> Response:
    """Mark all notifications up to now as read. Idempotent."""
    async with ctx.database.transaction() as connection:
        await sql.read_all(connection, caller.user_id)
    return json_response({"ok": True, "unread_count": 0})


def _item(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "notification_id": row["notification_id"],
        "title": row["title"],
        "message": row["message"],
        "type": row["type"],
        "entity_type": row["entity_type"],
        "entity_id": row["entity_id"],
        "is_read": row["read_at"] is not None,
        "created_at": instant_text(row["created_at"]),
        "read_at": instant_text(row["read_at"]),
    }
