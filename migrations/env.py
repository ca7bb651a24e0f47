"""Alembic's entry point: runs on the connection that ``migrations.runner`` passes, or prints SQL offline."""

from alembic import context
from sqlmodel import SQLModel

import chassis.tables
import services.api.attendance.tables
import services.api.exports.tables
import services.api.notifications.tables
import services.api.registrations.tables
import services.api.tables
import services.eligibility.tables
import services.maintenance.tables

# Importing a module declares its tables; naming it here says that this is why it is imported.
DECLARED_IN = (
    chassis.tables,
    services.api.tables,
    services.api.attendance.tables,
    services.api.notifications.tables,
    services.api.registrations.tables,
    services.eligibility.tables,
    services.maintenance.tables,
)
METADATA = SQLModel.metadata

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=METADATA, literal_binds=True)
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        include_schemas=True,
        compare_type=True,
    )
with context.begin_transaction():
    context.run_migrations()
