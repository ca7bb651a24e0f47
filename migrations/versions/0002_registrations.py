"""Registrations, attendance, finished drives."""

from migrations.sql_files import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0002_registrations")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
