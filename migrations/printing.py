"""Print a migration as a script for ``psql``: ``placewire migrate --sql``."""

from typing import TextIO

from migrations import applying
from migrations.schema_objects import SchemaObject, load, release

# The files with which every migration ends.
LAST = ("drop_removed", "partitions", "grants")
RECORD = """INSERT INTO schema_object (name, checksum, release) VALUES ('{name}', '{checksum}', '{release}')
    ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, release = excluded.release, applied_at = DEFAULT;
"""
# {same}: for an object applied once, `true`: it is only created if it is missing, whatever its text.
DIFFERS = """SELECT NOT EXISTS (SELECT FROM schema_object WHERE name = '{name}' AND {same}) AS differs \\gset
\\if :differs
"""


def print_before_tables(into: TextIO, since: str | None) -> None:
    """Begin the transaction. Write the roles, and the functions that tables need."""
    into.write(f"BEGIN;\n\n{applying.statements('roles')}\n")
    for object_ in load():
        if object_.before_tables:
            _print(into, object_, since)


def print_after_tables(into: TextIO, since: str | None) -> None:
    """Write the other functions, views, triggers and grants. Commit."""
    for object_ in load():
        if not object_.before_tables:
            _print(into, object_, since)
    for object_ in load():
        into.write(RECORD.format(name=object_.name, checksum=object_.checksum, release=release()))
    for name in LAST:
        into.write(f"\n{applying.statements(name)}")
    into.write("\nCOMMIT;\n")


def _print(into: TextIO, object_: SchemaObject, since: str | None) -> None:
    """Write the object's file. For a database that is not empty, psql applies it only if its text has changed.

    Otherwise every view would be filled again, and triggers would lock their tables.
    """
    if since is None:
        into.write(f"{object_.sql}\n")
        return
    same = "true" if object_.once else f"checksum = '{object_.checksum}'"
    into.write(f"{DIFFERS.format(name=object_.name, same=same)}{object_.sql}\\endif\n\n")
