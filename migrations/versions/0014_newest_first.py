"""What lists jobs has indexes that nothing else can use; the plans of a claim are those of its keys."""

from migrations.sql_files import run_file

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0014_newest_first")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
