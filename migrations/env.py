"""Alembic's door: runs on the connection that ``migrations.runner`` hands it, or prints SQL offline."""

from alembic import context
from sqlmodel import SQLModel

import chassis.tables  # noqa: F401
import services.api.attendance.tables  # noqa: F401
import services.api.notifications.tables  # noqa: F401
import services.api.registrations.tables  # noqa: F401
import services.api.tables  # noqa: F401
import services.eligibility.tables  # noqa: F401
import services.maintenance.tables  # noqa: F401

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
