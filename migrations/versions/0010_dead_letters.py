"""Dead letters."""

from migrations.sql_files import run_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0010_dead_letters")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
