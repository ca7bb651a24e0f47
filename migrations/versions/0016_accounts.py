"""Accounts: one address whatever its case, corrected details, deactivation, and links that set a password."""

from migrations.sql_files import run_file

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0016_accounts")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
