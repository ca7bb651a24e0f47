"""Keep the keys of expired commands that wrote no event."""

from migrations.sql_files import run_file

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0020_expired_keys")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
