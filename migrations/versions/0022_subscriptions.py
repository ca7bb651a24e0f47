"""Add the checkpoints of subscriptions."""

from migrations.sql_files import run_file

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0022_subscriptions")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
