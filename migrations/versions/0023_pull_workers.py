"""Let workers claim queued jobs themselves; nothing hands a job over to them any more."""

from migrations.sql_files import run_file

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0023_pull_workers")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
