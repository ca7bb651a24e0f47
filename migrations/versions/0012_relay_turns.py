"""A turn of the relay is one round trip."""

from migrations.sql_files import run_file

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0012_relay_turns")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
