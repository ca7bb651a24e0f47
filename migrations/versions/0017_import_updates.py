"""A diploma mark, one identity for each roll number, and imports that update known students."""

from migrations.sql_files import run_file

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0017_import_updates")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
