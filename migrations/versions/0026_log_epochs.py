"""Record transaction ids with the offset of an epoch, so that the log can move to another server."""

from migrations.sql_files import run_file

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0026_log_epochs")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
