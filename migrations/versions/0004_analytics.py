"""Materialized views for analytics, and who refreshes them."""

from migrations.sql_files import run_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0004_analytics")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
