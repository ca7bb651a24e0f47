"""An evaluation knows whether anybody was ever selected for its drive."""

from migrations.sql_files import run_file

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0015_first_evaluation")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
