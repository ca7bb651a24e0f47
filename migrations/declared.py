"""Every declared table: the metadata from which Alembic creates and compares tables."""

import re

from sqlmodel import SQLModel

import chassis.eventstore.tables
import migrations.tables
import services.api.attendance.tables
import services.api.exports.tables
import services.api.notifications.tables
import services.api.personal_data.tables
import services.api.registrations.tables
import services.api.tables
import services.eligibility.tables
import services.maintenance.tables

# Importing a module declares its tables. This tuple uses the imports, so that no linter removes them.
DECLARED_IN = (
    chassis.eventstore.tables,
    migrations.tables,
    services.api.tables,
    services.api.attendance.tables,
    services.api.exports.tables,
    services.api.notifications.tables,
    services.api.personal_data.tables,
    services.api.registrations.tables,
    services.eligibility.tables,
    services.maintenance.tables,
)
METADATA = SQLModel.metadata
SCHEMAS = (None, "es", "vault")  # None: public
# Partitions are not compared: maintenance creates and drops them. Only their parent table is declared.
PARTITION = re.compile(r"^access_log_(rest|\d{4}_\d{2})$")


def is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether Alembic compares the database's object with its declaration."""
    if kind == "schema":
        return name in SCHEMAS
    return not (kind == "table" and name is not None and PARTITION.match(name))
