"""Kept plans do not depend on how small a table was; an evaluation takes fewer round trips."""

from migrations.sql_files import run_file

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0013_plans_and_round_trips")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
