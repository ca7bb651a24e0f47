"""Event store, read tables, roles."""

from migrations.sql_files import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("0001_event_store", "0001_placement", "0001_roles"):
        run_file(name)


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
