"""What the routes of notifications answer."""

from typing import Literal

from pydantic import Field

from services.api.http.openapi import Count, Document, Instant, documented


class Item(Document):
    """``entity_type`` and ``entity_id``: what it is about. ``read_at`` null: not read."""

    notification_id: int = Field(examples=[90210])
    title: str = Field(examples=["New drive: Acme"])
    message: str
    type: str
    entity_type: str = Field(examples=["drive"])
    entity_id: int = Field(examples=[42])
    is_read: bool
    created_at: Instant
    read_at: Instant | None


class OwnItem(Item):
    """``user_id``: the caller, who has read it."""

    user_id: int = Field(examples=[1001])


class Mine(Document):
    """``unread_count``: of everything, not only of ``items``."""

    items: list[Item]
    unread_count: Count = Field(examples=[3])


class Read(Document):
    item: OwnItem
    unread_count: Count = Field(examples=[2])


class AllRead(Document):
    ok: Literal[True] = Field(examples=[True])
    unread_count: Literal[0] = Field(examples=[0])


MINE = documented(Mine, says="What is addressed to the caller, newest first.")
READ = documented(Read, {404: "Notification not found"}, says="The notification, which is read now.")
READ_ALL = documented(AllRead, says="Everything is read.")
