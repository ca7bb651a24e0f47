"""Maintenance."""

from migrations.sql_files import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0006_maintenance")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
