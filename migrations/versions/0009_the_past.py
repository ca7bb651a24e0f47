"""The past."""

from migrations.sql_files import run_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0009_the_past")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
