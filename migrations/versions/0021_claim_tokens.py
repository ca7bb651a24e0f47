"""A claim is guarded by a random token instead of a counter that a crash could set back."""

from migrations.sql_files import run_file

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0021_claim_tokens")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
