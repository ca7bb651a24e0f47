"""Response bodies of the notification routes."""

from typing import Literal

from pydantic import Field

from services.api.http.openapi import Count, Document, Instant, documented


class Notification(Document):
    """``entity_type`` and ``entity_id``: the subject, for example a drive. ``read_at``: null if unread."""

    notification_id: int = Field(examples=[90210])
    title: str = Field(examples=["New drive: Acme"])
    message: str
    type: str
    entity_type: str = Field(examples=["drive"])
    entity_id: int = Field(examples=[42])
    is_read: bool
    created_at: Instant
    read_at: Instant | None


class OwnNotification(Notification):
    """``user_id``: the caller, who has read the notification."""

    user_id: int = Field(examples=[1001])


class OwnNotifications(Document):
    """``unread_count``: the number of all unread notifications of the caller, not only of those in ``items``."""

    items: list[Notification]
    unread_count: Count = Field(examples=[3])


class ReadNotification(Document):
    item: OwnNotification
    unread_count: Count = Field(examples=[2])


class AllNotificationsRead(Document):
    ok: Literal[True] = Field(examples=[True])
    unread_count: Literal[0] = Field(examples=[0])


MINE = documented(OwnNotifications, description="The caller's notifications, newest first.")
READ = documented(ReadNotification, {404: "Notification not found"}, description="The notification, now read.")
READ_ALL = documented(AllNotificationsRead, description="All notifications are marked as read.")
