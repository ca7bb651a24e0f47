"""Notifications over HTTP."""

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.http.responses import json_response
from services.api.context import Ctx
from services.api.http.access import AccessFirstRoute, Anyone
from services.api.http.presentation import instant_text
from services.api.notifications import openapi, sql

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/notifications", tags=["notifications"])

# JavaScript counts exactly up to here.
MAX_ID = 2**53 - 1


@router.get("/mine", **openapi.MINE)
async def mine(ctx: Ctx, who: Anyone, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
    """``{items, unread_count}``: the newest first; the count is of everything, not only of what is shown."""
    async with ctx.database.connection() as connection:
        items = await sql.newest(connection, who.user_id, most=limit)
        unread = await sql.unread(connection, who.user_id)
    return json_response({"items": [_item(row) for row in items], "unread_count": unread})


@router.patch("/{notification_id}/read", **openapi.READ)
async def read(notification_id: Annotated[int, Path(ge=1, le=MAX_ID)], ctx: Ctx, who: Anyone) -> Response:
    """``{item, unread_count}``. Repeating it is harmless. 404 also for one that is addressed to others."""
    async with ctx.database.transaction() as connection:
        row = await sql.read(connection, who.user_id, notification_id)
        if row is None:
            raise NotFound("Notification not found")
        unread = await sql.unread(connection, who.user_id)
    return json_response({"item": {"user_id": row["user_id"], **_item(row)}, "unread_count": unread})


@router.post("/read-all", **openapi.READ_ALL)
async def read_all(ctx: Ctx, who: Anyone) -> Response:
    """Everything until now is read. Repeating it is harmless."""
    async with ctx.database.transaction() as connection:
        await sql.read_all(connection, who.user_id)
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
