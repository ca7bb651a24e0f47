"""Notifications, newest first."""

from fastapi import APIRouter
from fastapi.responses import Response

from services.console.api_client import segment
from services.console.visit import SignedIn

router = APIRouter(prefix="/console/notifications")

LIMIT = 100


@router.get("")
async def notifications(visit: SignedIn) -> Response:
    """Return the newest notifications."""
    found = await visit.api.get("/api/notifications/mine", limit=LIMIT)
    return visit.page("notifications/list.html", rows=found["items"], unread=found["unread_count"], limit=LIMIT)


@router.post("/read-all")
async def read_all(visit: SignedIn) -> Response:
    """Mark all as read."""
    await visit.form()
    await visit.api.send("POST", "/api/notifications/read-all")
    return visit.go("/console/notifications", done="all-read")


@router.post("/{notification_id}/open")
async def read(visit: SignedIn, notification_id: int) -> Response:
    """Mark one as read, and go to its drive if the form asks for that."""
    form = await visit.form()
    found = await visit.api.send("PATCH", f"/api/notifications/{segment(notification_id)}/read")
    if form.text("go") == "yes" and found["item"]["entity_type"] == "drive":
        return visit.go(f"/console/drives/{found['item']['entity_id']}")
    return visit.go("/console/notifications")
