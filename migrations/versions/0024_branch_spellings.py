"""Count students of a branch together, however it is written."""

from migrations.sql_files import run_file

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0024_branch_spellings")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
