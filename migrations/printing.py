"""Prints a migration as a script for ``psql``: ``placewire migrate --sql``."""

from typing import TextIO

from migrations import applying
from migrations.schema_objects import SchemaObject, load, release

# The files that every migration ends with.
LAST = ("drop_removed", "partitions", "grants")
RECORD = """INSERT INTO schema_object (name, checksum, release) VALUES ('{name}', '{checksum}', '{release}')
    ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, release = excluded.release, applied_at = DEFAULT;
"""
# `once`: only where it is missing, so its text does not matter.
DIFFERS = """SELECT NOT EXISTS (SELECT FROM schema_object WHERE name = '{name}' AND {same}) AS differs \\gset
\\if :differs
"""


def print_before_tables(into: TextIO, since: str | None) -> None:
    """Begin the transaction; write the roles, and the functions that tables need."""
    into.write(f"BEGIN;\n\n{applying.statements('roles')}\n")
    for one in load():
        if one.before_tables:
            _print(into, one, since)


def print_after_tables(into: TextIO, since: str | None) -> None:
    """Write the other functions, views, triggers and grants; commit."""
    for one in load():
        if not one.before_tables:
            _print(into, one, since)
    for one in load():
        into.write(RECORD.format(name=one.name, checksum=one.checksum, release=release()))
    for name in LAST:
        into.write(f"\n{applying.statements(name)}")
    into.write("\nCOMMIT;\n")


def _print(into: TextIO, one: SchemaObject, since: str | None) -> None:
    """Write the file; for a database that has some already, so that psql applies it only if its text differs.

    A view would be filled anew, and triggers lock their table.
    """
    if since is None:
        into.write(f"{one.sql}\n")
        return
    same = "true" if one.once else f"checksum = '{one.checksum}'"
    into.write(f"{DIFFERS.format(name=one.name, same=same)}{one.sql}\\endif\n\n")
