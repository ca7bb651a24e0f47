"""The tables of schema ``es``. Alembic creates and compares them. Functions: migrations/functions/es.*.sql.

``postgresql_with``: fillfactor leaves space on a page for new versions of its rows. An update that changes no indexed
column then writes no index entry, and the next reader of the page removes the old version. The scale factors of
autovacuum are shares of the table. With the default of 0.2, a table of ten million rows collects two million dead rows.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, base
from sqlalchemy.types import TypeEngine, UserDefinedType
from sqlmodel import Field, SQLModel


class Xid8(UserDefinedType[str]):
    """Postgres' 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


base.ischema_names["xid8"] = Xid8  # so that reflection knows it


def identity() -> Column[int]:
    """Return a primary key column whose numbers Postgres generates."""
    return Column(BigInteger, Identity(always=True), primary_key=True)


def number(type_: type[Integer] = Integer) -> Column[int]:
    """Return a primary key column whose numbers the writer chooses."""
    return Column(type_, primary_key=True, autoincrement=False)


def instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


def written_at() -> Column[datetime]:
    """Return a column with the time at which the row was written."""
    return Column(DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()"))


def preset(type_: TypeEngine[Any] | type[TypeEngine[Any]], value: str) -> Column[Any]:
    """Return a column that is never null. Its default is ``value``, an SQL expression."""
    return Column(type_, nullable=False, server_default=text(value))


class Stream(SQLModel, table=True):
    """A stream. ``version`` and ``last_tx`` are those of its last event."""

    __tablename__ = "stream"
    # An append to an existing stream is an update. Most streams are written once, so a tenth of free space is enough.
    # With it, 99.9 % of 8,799 updates spread over 100,000 streams wrote no index entry; without it, 49 %. The table
    # was 6 % larger.
    __table_args__ = {
        "schema": "es",
        "postgresql_with": {
            "fillfactor": 90,
            "autovacuum_vacuum_scale_factor": 0.02,
            "autovacuum_vacuum_threshold": 2000,
        },
    }

    stream_id: str = Field(sa_type=Text, primary_key=True)
    stream_type: str = Field(sa_type=Text)
    version: int = Field(sa_type=BigInteger)
    last_tx: str = Field(sa_type=Xid8)


class Event(SQLModel, table=True):
    """An event. ``tx`` orders the whole log (es.append); ``xid`` is the transaction that wrote the row."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("stream_id", "version", name="event_stream_version"),
        UniqueConstraint("event_id", name="event_event_id"),
        Index("event_tx_position", "tx", "position"),
        # Finds the drives that have ever named a PDF. Inserts of other events are not measurably slower: 30,000 took
        # 0.54 to 0.81 s, without this index 0.54 to 1.07 s.
        Index(
            "event_pdf_path",
            text("(data #>> '{posting,pdf_path}')"),
            postgresql_where=text("type IN ('placewire.drive.created.v1', 'placewire.drive.revised.v1')"),
        ),
        # Finds the few deleted drives, by stream (GET /api/registrations/mine).
        Index("event_drive_deleted", "stream_id", postgresql_where=text("type = 'placewire.drive.deleted.v1'")),
        # Rows are never updated, so pages are filled. Vacuum runs as the table grows, to freeze rows in small portions.
        # Analyze runs too, so that the planner knows the newest drives and students.
        {
            "schema": "es",
            "postgresql_with": {
                "autovacuum_vacuum_insert_scale_factor": 0.02,
                "autovacuum_analyze_scale_factor": 0.02,
            },
        },
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
    recorded_at: datetime = Field(sa_column=written_at())


class Outbox(SQLModel, table=True):
    """A message for Kafka: the event ``event_id`` with the headers ``extra``, or a probe, whose body is ``extra``."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_lane", "lane", "id"),
        Index("outbox_quarantine", "key", postgresql_where=text("quarantined_at IS NOT NULL")),
        {
            "schema": "es",
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0,
                "autovacuum_vacuum_threshold": 2000,
            },
        },
    )

    id: int = Field(sa_column=identity())
    lane: int = Field(sa_type=SmallInteger)
    topic: str = Field(sa_type=Text)
    key: str = Field(sa_type=Text)
    event_id: UUID | None
    extra: dict[str, Any] | None = Field(sa_type=JSONB)
    queued_at: datetime = Field(sa_column=written_at())
    quarantined_at: datetime | None = Field(sa_column=instant(nullable=True))
    error: str | None = Field(sa_type=Text)


class Job(SQLModel, table=True):
    """The visible side of an event that asks one service for work: ``id`` is the event's id.

    ``channel``: what woke the worker first (kafka, http, poll); null until the job ends. ``fence``: the token of the
    newest claim; null after a release. No index of all jobs ascends by ``seq``: to find the oldest queued job, the
    planner could scan it past all ended jobs. ``job_unfinished`` holds only jobs that have not ended.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("job_unfinished", "service", "seq", postgresql_where=text("finished_at IS NULL")),
        Index("job_dead_lettered", "seq", postgresql_where=text("dead_lettered")),
        Index("job_newest_requested_by", "requested_by", text("(-seq)")),
        Index("job_newest", text("(-seq)")),
        # A job enters this index when it ends. That update also removes it from job_unfinished, so it is no HOT update.
        Index("job_ended", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND NOT dead_lettered")),
        {
            "schema": "es",
            "postgresql_with": {
                "fillfactor": 50,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_threshold": 2000,
            },
        },
    )

    id: UUID = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    service: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    state: str = Field(sa_column=preset(Text, "'queued'"))
    channel: str | None = Field(sa_type=Text)
    progress: dict[str, Any] | None = Field(sa_type=JSONB)
    result: dict[str, Any] | None = Field(sa_type=JSONB)
    error: str | None = Field(sa_type=Text)
    attempts: int = Field(sa_column=preset(Integer, "0"))
    dead_lettered: bool = Field(sa_column=preset(Boolean, "false"))
    requested_by: int | None
    owner: str | None = Field(sa_type=Text)
    lease_until: datetime = Field(sa_column=preset(DateTime(timezone=True), "'-infinity'"))
    queued_at: datetime = Field(sa_column=written_at())
    started_at: datetime | None = Field(sa_column=instant(nullable=True))
    finished_at: datetime | None = Field(sa_column=instant(nullable=True))
    fence: UUID | None


class DeadLetterAction(SQLModel, table=True):
    """What an operator did about a dead letter.

    ``error`` and ``attempts`` are copied from the job, because a redrive resets them there. There is no foreign key to
    the job: jobs expire, and this row stays.
    """

    __tablename__ = "dead_letter_action"
    __table_args__ = (
        CheckConstraint("action IN ('redriven', 'discarded')", name="dead_letter_action_action_check"),
        CheckConstraint("action <> 'discarded' OR reason IS NOT NULL", name="dead_letter_action_check1"),
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
    at: datetime = Field(sa_column=written_at())


class Probe(SQLModel, table=True):
    """The newest probe that each service's consumer has seen."""

    __tablename__ = "probe"
    # A handful of rows, each rewritten every second.
    __table_args__ = {"schema": "es", "postgresql_with": {"fillfactor": 10}}

    service: str = Field(sa_type=Text, primary_key=True)
    sent_at: datetime = Field(sa_column=instant())
    seen_at: datetime = Field(sa_column=instant())


class Epoch(SQLModel, table=True):
    """A server on which the log was written, with the offset that is added to its transaction ids (es.log_offset).

    ``first_xid``: the lowest value that this epoch may record; all values of earlier epochs are below it.
    ``closed_at``: when `placewire close-log` closed the log; no event may be appended since. ``sequences``: the values
    of all sequences when the log was closed, because replication does not copy them.
    """

    __tablename__ = "epoch"
    __table_args__ = {"schema": "es"}

    number: int = Field(sa_column=number())
    xid_offset: int = Field(sa_type=BigInteger)
    first_xid: str = Field(sa_type=Xid8)
    system_identifier: int = Field(sa_type=BigInteger)
    opened_at: datetime = Field(sa_column=written_at())
    closed_at: datetime | None = Field(sa_column=instant(nullable=True))
    sequences: dict[str, int] | None = Field(sa_type=JSONB)


class Checkpoint(SQLModel, table=True):
    """A checkpoint. ``tx`` and ``position`` are those of the last event that the subscription has handled.

    ``fence`` grows with every new active replica and every reset. A transaction with an older fence changes nothing.
    ``failed_at`` and ``error`` are set while the subscription is stopped before an event that it cannot handle.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        CheckConstraint("name <> ''", name="subscription_name_check"),
        {"schema": "es", "postgresql_with": {"fillfactor": 50}},
    )

    name: str = Field(sa_type=Text, primary_key=True)
    tx: str = Field(sa_column=preset(Xid8, "'0'"))
    position: int = Field(sa_column=preset(BigInteger, "0"))
    fence: int = Field(sa_column=preset(BigInteger, "0"))
    updated_at: datetime = Field(sa_column=written_at())
    failed_at: datetime | None = Field(sa_column=instant(nullable=True))
    error: str | None = Field(sa_type=Text)
