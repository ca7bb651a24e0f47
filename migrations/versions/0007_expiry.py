"""Expiry."""

from migrations.sql_files import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0007_expiry")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
