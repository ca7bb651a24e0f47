"""Every table, as declared in SQLModel. Generated from the declarations; later revisions change tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


class Xid8(sa.types.UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class PgSnapshot(sa.types.UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "pg_snapshot"


SEQUENCES = ("attendance_id_seq", "drive_id_seq", "registration_id_seq", "user_id_seq")
# The materialized views. Each gets a row in view_refresh, with the snapshot "1:1:", which sees no event.
VIEWS = ("attendance_trend", "branch_counts", "drive_funnel", "drives_over_time", "registrations_per_drive")


def upgrade() -> None:
    op.execute("CREATE SCHEMA es")
    op.execute("CREATE SCHEMA vault")
    op.execute("COMMENT ON SCHEMA vault IS 'Personal data that events refer to, and that can be erased.'")
    for name in SEQUENCES:
        op.execute(f"CREATE SEQUENCE {name} AS integer")
    _create_access_log()
    _create_attendance()
    _create_credentials()
    _create_drives()
    _create_es_dead_letter_action()
    _create_es_epoch()
    _create_es_event()
    _create_es_job()
    _index_es_job()
    _create_es_outbox()
    _create_es_probe()
    _create_es_stream()
    _create_es_subscription()
    _create_evaluations()
    _create_expiry()
    _create_exports()
    _create_finished_drives()
    _create_idempotency_keys()
    _create_job_domains()
    _create_notification_read_marks()
    _create_notification_reads()
    _create_notifications()
    _create_password_links()
    _create_registrations()
    _create_requested_selection()
    _create_schema_object()
    _create_selections()
    _create_students()
    _create_users()
    _create_vault_erasure()
    _create_vault_kept_answer()
    _create_vault_person()
    _create_view_refresh()
    _create_withdrawn_exports()
    _insert_rows()


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")


def _insert_rows() -> None:
    op.execute(
        "INSERT INTO es.epoch (number, xid_offset, first_xid, system_identifier)"
        " SELECT 1, 0, '0', system_identifier FROM pg_control_system()"
    )
    for name in VIEWS:
        op.execute(
            "INSERT INTO view_refresh (view_name, refreshed_at, began_at, finished_at, duration_s, rows, snapshot)"  # noqa: S608
            f" VALUES ('{name}', now(), now(), now(), 0, 0, '1:1:')"
        )


def _create_access_log() -> None:
    op.create_table(
        "access_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("reader_id", sa.Integer(), nullable=False),
        sa.Column("reader_role", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("student_id", sa.Integer(), nullable=True),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", "at"),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index(
        "access_log_of_lists", "access_log", ["at"], unique=False, postgresql_where=sa.text("student_id IS NULL")
    )
    op.create_index("access_log_of_reader", "access_log", ["reader_id", "at"], unique=False)
    op.create_index(
        "access_log_of_student",
        "access_log",
        ["student_id", "at"],
        unique=False,
        postgresql_where=sa.text("student_id IS NOT NULL"),
    )


def _create_attendance() -> None:
    op.create_table(
        "attendance",
        sa.Column("attendance_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("drive_id", sa.Integer(), nullable=False),
        sa.Column("student_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attendance_id"),
        sa.UniqueConstraint("drive_id", "student_id", name="attendance_drive_student_unique"),
        postgresql_with={
            "fillfactor": 90,
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_vacuum_insert_scale_factor": 0.02,
            "autovacuum_analyze_scale_factor": 0.02,
        },
    )


def _create_credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("user_id"),
    )


def _create_drives() -> None:
    op.create_table(
        "drives",
        sa.Column("drive_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("company_name", sa.Text(), nullable=False),
        sa.Column("job_title", sa.Text(), nullable=False),
        sa.Column("job_description", sa.Text(), nullable=False),
        sa.Column("domain_id", sa.Integer(), nullable=True),
        sa.Column("interview_date", sa.Date(), nullable=True),
        sa.Column("min_cgpa", sa.Numeric(precision=4, scale=2), nullable=True),
        sa.Column("min_10th", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("min_12th", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("max_backlogs", sa.Integer(), nullable=True),
        sa.Column("branches", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("batch_years", sa.ARRAY(sa.Integer()), nullable=True),
        sa.Column("pdf_path", sa.Text(), nullable=True),
        sa.Column("posted_by", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("auto_published", sa.Boolean(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_by", sa.Integer(), nullable=True),
        sa.Column("attendance_published", sa.Boolean(), nullable=False),
        sa.Column("list_version", sa.BigInteger(), nullable=True),
        sa.Column(
            "branch_keys", sa.ARRAY(sa.Text()), sa.Computed("branch_keys(branches)", persisted=True), nullable=True
        ),
        sa.PrimaryKeyConstraint("drive_id"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "drives_newest",
        "drives",
        [sa.literal_column("created_at DESC"), sa.literal_column("drive_id DESC")],
        unique=False,
    )


def _create_es_dead_letter_action() -> None:
    op.create_table(
        "dead_letter_action",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("action <> 'discarded' OR reason IS NOT NULL", name="dead_letter_action_check1"),
        sa.CheckConstraint("action IN ('redriven', 'discarded')", name="dead_letter_action_action_check"),
        sa.PrimaryKeyConstraint("id"),
        schema="es",
    )
    op.create_index(
        "dead_letter_action_job",
        "dead_letter_action",
        ["job_id"],
        unique=False,
        schema="es",
        postgresql_where=sa.text("job_id IS NOT NULL"),
    )


def _create_es_epoch() -> None:
    op.create_table(
        "epoch",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("xid_offset", sa.BigInteger(), nullable=False),
        sa.Column("first_xid", Xid8(), nullable=False),
        sa.Column("system_identifier", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sequences", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        schema="es",
    )


def _create_es_event() -> None:
    op.create_table(
        "event",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tx", Xid8(), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("stream_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("event_id", name="event_event_id"),
        sa.UniqueConstraint("stream_id", "version", name="event_stream_version"),
        schema="es",
        postgresql_with={"autovacuum_vacuum_insert_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    )
    op.create_index(
        "event_drive_deleted",
        "event",
        ["stream_id"],
        unique=False,
        schema="es",
        postgresql_where=sa.text("type = 'placewire.drive.deleted.v1'"),
    )
    op.create_index(
        "event_pdf_path",
        "event",
        [sa.literal_column("(data #>> '{posting,pdf_path}')")],
        unique=False,
        schema="es",
        postgresql_where=sa.text("type IN ('placewire.drive.created.v1', 'placewire.drive.revised.v1')"),
    )
    op.create_index("event_tx_position", "event", ["tx", "position"], unique=False, schema="es")


def _create_es_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("progress", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dead_lettered", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("requested_by", sa.Integer(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="es",
        postgresql_with={"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 2000},
    )


def _index_es_job() -> None:
    op.create_index(
        "job_dead_lettered", "job", ["seq"], unique=False, schema="es", postgresql_where=sa.text("dead_lettered")
    )
    op.create_index(
        "job_ended",
        "job",
        ["finished_at"],
        unique=False,
        schema="es",
        postgresql_where=sa.text("finished_at IS NOT NULL AND NOT dead_lettered"),
    )
    op.create_index("job_newest", "job", [sa.literal_column("(-seq)")], unique=False, schema="es")
    op.create_index(
        "job_newest_requested_by", "job", ["requested_by", sa.literal_column("(-seq)")], unique=False, schema="es"
    )
    op.create_index(
        "job_unfinished",
        "job",
        ["service", "seq"],
        unique=False,
        schema="es",
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _create_es_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("extra", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="es",
        postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 2000},
    )
    op.create_index("outbox_lane", "outbox", ["lane", "id"], unique=False, schema="es")
    op.create_index(
        "outbox_quarantine",
        "outbox",
        ["key"],
        unique=False,
        schema="es",
        postgresql_where=sa.text("quarantined_at IS NOT NULL"),
    )


def _create_es_probe() -> None:
    op.create_table(
        "probe",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("service"),
        schema="es",
        postgresql_with={"fillfactor": 10},
    )


def _create_es_stream() -> None:
    op.create_table(
        "stream",
        sa.Column("stream_id", sa.Text(), nullable=False),
        sa.Column("stream_type", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("last_tx", Xid8(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id"),
        schema="es",
        postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 2000},
    )


def _create_es_subscription() -> None:
    op.create_table(
        "subscription",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tx", Xid8(), server_default=sa.text("'0'"), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("name <> ''", name="subscription_name_check"),
        sa.PrimaryKeyConstraint("name"),
        schema="es",
        postgresql_with={"fillfactor": 50},
    )


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("drive_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("drive_version", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("eligible", sa.Integer(), nullable=False),
        sa.Column("selected", sa.Integer(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("drive_id"),
        postgresql_with={"fillfactor": 70},
    )


def _create_expiry() -> None:
    op.create_table(
        "expiry",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("what"),
    )


def _create_exports() -> None:
    op.create_table(
        "exports",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("drive_id", sa.Integer(), nullable=True),
        sa.Column("columns", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("byte_order_mark", sa.Boolean(), nullable=False),
        sa.Column("delimiter", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Integer(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("snapshot", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("export_id"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "exports_expiring",
        "exports",
        ["expires_at", "export_id"],
        unique=False,
        postgresql_where=sa.text("state = 'completed'"),
    )
    op.create_index(
        "exports_newest",
        "exports",
        [sa.literal_column("requested_at DESC"), sa.literal_column("export_id DESC")],
        unique=False,
    )
    op.create_index(
        "exports_of_user",
        "exports",
        ["requested_by", sa.literal_column("requested_at DESC"), sa.literal_column("export_id DESC")],
        unique=False,
    )


def _create_finished_drives() -> None:
    op.create_table(
        "finished_drives",
        sa.Column("drive_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("finished_date", sa.DateTime(timezone=True), nullable=False),
        sa.Column("total_registered", sa.Integer(), nullable=False),
        sa.Column("total_present", sa.Integer(), nullable=False),
        sa.Column("total_absent", sa.Integer(), nullable=False),
        sa.Column("company_name", sa.Text(), nullable=False),
        sa.Column("job_title", sa.Text(), nullable=False),
        sa.Column("interview_date", sa.Date(), nullable=True),
        sa.Column("pdf_path", sa.Text(), nullable=True),
        sa.Column("domain_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("drive_id"),
    )
    op.create_index(
        "finished_drives_newest",
        "finished_drives",
        [sa.literal_column("finished_date DESC"), sa.literal_column("drive_id DESC")],
        unique=False,
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("committed", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("expired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "route", "key"),
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 2000},
    )
    op.create_index(
        "idempotency_keys_oldest",
        "idempotency_keys",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("NOT expired"),
    )


def _create_job_domains() -> None:
    op.create_table(
        "job_domains",
        sa.Column("domain_id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("domain_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("domain_id"),
        sa.UniqueConstraint("domain_name", name="job_domains_name_unique"),
    )


def _create_notification_read_marks() -> None:
    op.create_table(
        "notification_read_marks",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seen", PgSnapshot(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
        postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.05},
    )


def _create_notification_reads() -> None:
    op.create_table(
        "notification_reads",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("notification_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "notification_id"),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0.05},
    )


def _create_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("drive_version", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("notification_id"),
        sa.UniqueConstraint("event_id", "audience", name="notifications_once_for_each_audience"),
    )
    op.create_index(
        "notifications_newest", "notifications", ["audience", "created_at", "notification_id"], unique=False
    )
    op.create_index("notifications_of_entity", "notifications", ["entity_type", "entity_id"], unique=False)
    op.create_index(
        "notifications_of_user",
        "notifications",
        ["user_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_index("notifications_since", "notifications", ["audience", "xid"], unique=False)


def _create_password_links() -> None:
    op.create_table(
        "password_links",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id"),
        sa.UniqueConstraint("token_sha256", name="password_links_token_unique"),
    )
    op.create_index("password_links_expiring", "password_links", ["expires_at"], unique=False)


def _create_registrations() -> None:
    op.create_table(
        "registrations",
        sa.Column("registration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("drive_id", sa.Integer(), nullable=False),
        sa.Column("student_id", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("registration_id"),
        sa.UniqueConstraint("drive_id", "student_id", name="registrations_drive_student_unique"),
        postgresql_with={"autovacuum_vacuum_insert_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    )
    op.create_index("registrations_of_student", "registrations", ["student_id", "registration_id"], unique=False)


def _create_requested_selection() -> None:
    op.create_table(
        "requested_selection",
        sa.Column("drive_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("drive_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("student_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("drive_id", "drive_version", "student_id"),
    )


def _create_schema_object() -> None:
    op.create_table(
        "schema_object",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column(
            "applied_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_selections() -> None:
    op.create_table(
        "selections",
        sa.Column("drive_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("student_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("selected_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("selected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_version", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("drive_id", "student_id", "selected_version"),
        postgresql_with={
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_vacuum_insert_scale_factor": 0.05,
            "autovacuum_analyze_scale_factor": 0.02,
        },
    )


def _create_students() -> None:
    op.create_table(
        "students",
        sa.Column("student_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("roll_number", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("batch_year", sa.Integer(), nullable=True),
        sa.Column("tenth_percent", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("twelfth_percent", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("cgpa", sa.Numeric(precision=4, scale=2), nullable=True),
        sa.Column("active_backlogs", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("diploma_percent", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("branch_key", sa.Text(), sa.Computed("branch_key(branch)", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("student_id"),
        postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_index(
        "students_roll_number_identity", "students", [sa.literal_column("identity_key(roll_number)")], unique=True
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=True),
        sa.Column("password_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("access_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("access_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("person_version", sa.Integer(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id"),
        postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_index("users_access_changed", "users", ["access_changed_at"], unique=False)
    op.create_index("users_identity_unique", "users", [sa.literal_column("identity_key(email)")], unique=True)
    op.create_index("users_inactive", "users", ["user_id"], unique=False, postgresql_where=sa.text("NOT active"))


def _create_vault_erasure() -> None:
    op.create_table(
        "erasure",
        sa.Column("person_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("person_id"),
        schema="vault",
    )


def _create_vault_kept_answer() -> None:
    op.create_table(
        "kept_answer",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("person_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "route", "key"),
        schema="vault",
    )


def _create_vault_person() -> None:
    op.create_table(
        "person",
        sa.Column("person_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("roll_number", sa.Text(), nullable=True),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("person_id", "version"),
        schema="vault",
        postgresql_with={"autovacuum_vacuum_insert_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    )


def _create_view_refresh() -> None:
    op.create_table(
        "view_refresh",
        sa.Column("view_name", sa.Text(), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("view_name"),
    )


def _create_withdrawn_exports() -> None:
    op.create_table(
        "withdrawn_exports",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column(
            "withdrawn_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("export_id"),
    )
