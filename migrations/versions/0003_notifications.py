"""Notifications and read marks."""

from migrations.sql_files import run_file

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0003_notifications")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
