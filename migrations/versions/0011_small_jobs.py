"""Small jobs are claimed several at a time."""

from migrations.sql_files import run_file

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0011_small_jobs")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
