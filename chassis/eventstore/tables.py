"""The tables of the schema ``es``. Statements: ``event_store``, ``chassis.jobs``, ``chassis.messaging.relay``."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, base
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel


class Xid8(UserDefinedType[str]):
    """Postgres' 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


base.ischema_names["xid8"] = Xid8  # so that reflection knows it


def identity() -> Column[int]:
    return Column(BigInteger, Identity(always=True), primary_key=True)


def instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class Stream(SQLModel, table=True):
    __tablename__ = "stream"
    __table_args__ = {"schema": "es"}

    stream_id: str = Field(sa_type=Text, primary_key=True)
    stream_type: str = Field(sa_type=Text)
    version: int = Field(sa_type=BigInteger)
    last_tx: str = Field(sa_type=Xid8)


class Event(SQLModel, table=True):
    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("stream_id", "version", name="event_stream_version"),
        UniqueConstraint("event_id", name="event_event_id"),
        Index("event_tx_position", "tx", "position"),
        Index(
            "event_pdf_path",
            text("(data #>> '{posting,pdf_path}')"),
            postgresql_where=text("type IN ('placewire.drive.created.v1', 'placewire.drive.revised.v1')"),
        ),
        Index("event_drive_deleted", "stream_id", postgresql_where=text("type = 'placewire.drive.deleted.v1'")),
        {"schema": "es"},
    )

    position: int = Field(sa_column=identity())
    tx: str = Field(sa_type=Xid8)
    xid: str = Field(sa_type=Xid8)
    stream_id: str = Field(sa_type=Text)
    version: int = Field(sa_type=BigInteger)
    event_id: UUID
    type: str = Field(sa_type=Text)
    data: dict[str, Any] = Field(sa_type=JSONB)
    metadata_: dict[str, Any] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    recorded_at: datetime = Field(sa_column=instant())


class Outbox(SQLModel, table=True):
    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_lane", "lane", "id"),
        Index("outbox_quarantine", "key", postgresql_where=text("quarantined_at IS NOT NULL")),
        {"schema": "es"},
    )

    id: int = Field(sa_column=identity())
    lane: int = Field(sa_type=SmallInteger)
    topic: str = Field(sa_type=Text)
    key: str = Field(sa_type=Text)
    event_id: UUID | None
    extra: dict[str, Any] | None = Field(sa_type=JSONB)
    queued_at: datetime = Field(sa_column=instant())
    quarantined_at: datetime | None = Field(sa_column=instant(nullable=True))
    error: str | None = Field(sa_type=Text)


class Job(SQLModel, table=True):
    __tablename__ = "job"
    __table_args__ = (
        Index("job_unfinished", "service", "seq", postgresql_where=text("finished_at IS NULL")),
        Index("job_dead", "seq", postgresql_where=text("dead")),
        Index("job_newest_asked_by", "asked_by", text("(-seq)")),
        Index("job_newest", text("(-seq)")),
        Index("job_ended", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND NOT dead")),
        {"schema": "es"},
    )

    id: UUID = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    service: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    channel: str | None = Field(sa_type=Text)
    progress: dict[str, Any] | None = Field(sa_type=JSONB)
    result: dict[str, Any] | None = Field(sa_type=JSONB)
    error: str | None = Field(sa_type=Text)
    attempts: int
    dead: bool
    asked_by: int | None
    fence: UUID | None
    owner: str | None = Field(sa_type=Text)
    lease_until: datetime = Field(sa_column=instant())
    queued_at: datetime = Field(sa_column=instant())
    started_at: datetime | None = Field(sa_column=instant(nullable=True))
    finished_at: datetime | None = Field(sa_column=instant(nullable=True))


class DeadLetterAction(SQLModel, table=True):
    __tablename__ = "dead_letter_action"
    __table_args__ = (
        Index("dead_letter_action_job", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        {"schema": "es"},
    )

    id: int = Field(sa_column=identity())
    job_id: UUID | None
    action: str = Field(sa_type=Text)
    actor: str = Field(sa_type=Text)
    reason: str | None = Field(sa_type=Text)
    error: str = Field(sa_type=Text)
    attempts: int | None
    at: datetime = Field(sa_column=instant())


class Canary(SQLModel, table=True):
    __tablename__ = "canary"
    __table_args__ = {"schema": "es"}

    service: str = Field(sa_type=Text, primary_key=True)
    sent_at: datetime = Field(sa_column=instant())
    seen_at: datetime = Field(sa_column=instant())


class Epoch(SQLModel, table=True):
    __tablename__ = "epoch"
    __table_args__ = {"schema": "es"}

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    xid_offset: int = Field(sa_type=BigInteger)
    first_xid: str = Field(sa_type=Xid8)
    system_identifier: int = Field(sa_type=BigInteger)
    opened_at: datetime = Field(sa_column=instant())
    closed_at: datetime | None = Field(sa_column=instant(nullable=True))
    sequences: dict[str, int] | None = Field(sa_type=JSONB)


class Checkpoint(SQLModel, table=True):
    __tablename__ = "subscription"
    __table_args__ = {"schema": "es"}

    name: str = Field(sa_type=Text, primary_key=True)
    tx: str = Field(sa_type=Xid8)
    position: int = Field(sa_type=BigInteger)
    fence: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(sa_column=instant())
    failed_at: datetime | None = Field(sa_column=instant(nullable=True))
    error: str | None = Field(sa_type=Text)
