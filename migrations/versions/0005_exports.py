"""Exports, and the role of the service that writes them."""

from migrations.sql_files import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0005_exports")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
