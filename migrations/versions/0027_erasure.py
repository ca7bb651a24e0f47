"""Record who looks at students' records, and erase personal data."""

from migrations.sql_files import run_file

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0027_access_log")
    run_file("0027_erasure")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
