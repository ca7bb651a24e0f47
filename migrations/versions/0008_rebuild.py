"""Rebuild."""

from migrations.sql_files import run_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0008_rebuild")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
