"""Keep personal data in a schema of its own, and only references to it in events."""

from migrations.sql_files import run_file

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0025_vault")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
