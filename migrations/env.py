"""Alembic's entry point: runs on the connection that ``migrations.runner`` passes, or prints SQL offline."""

import re

from alembic import context
from sqlmodel import SQLModel

import chassis.eventstore.tables
import services.api.attendance.tables
import services.api.exports.tables
import services.api.notifications.tables
import services.api.personal_data.tables
import services.api.registrations.tables
import services.api.tables
import services.eligibility.tables
import services.maintenance.tables

# Importing a module declares its tables; naming it here says that this is why it is imported.
DECLARED_IN = (
    chassis.eventstore.tables,
    services.api.tables,
    services.api.attendance.tables,
    services.api.notifications.tables,
    services.api.personal_data.tables,
    services.api.registrations.tables,
    services.eligibility.tables,
    services.maintenance.tables,
)
METADATA = SQLModel.metadata
# Partitions are created and dropped with time; their table is declared.
PARTITION = re.compile(r"^access_log_(rest|\d{4}_\d{2})$")


def is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether Alembic compares the database's object with its declaration."""
    return not (kind == "table" and name is not None and PARTITION.match(name))


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=METADATA, literal_binds=True)
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        include_schemas=True,
        include_name=is_compared,
        compare_type=True,
    )
with context.begin_transaction():
    context.run_migrations()
