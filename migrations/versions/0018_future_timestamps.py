"""A lease, a queue time or a probe that lies impossibly far in the future counts as expired."""

from migrations.sql_files import run_file

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0018_future_timestamps")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
