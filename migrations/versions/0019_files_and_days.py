"""One rule for spreadsheet formulas, closed registrations, registrations for deleted drives, days of the campus."""

from migrations.sql_files import run_file

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0019_files_and_days")


def downgrade() -> None:
    raise RuntimeError("events are never deleted: restore a backup instead")
