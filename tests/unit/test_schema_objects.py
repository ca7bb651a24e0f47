"""Each file of migrations/functions has the name of the object that it creates, and lists what the object requires."""

import re
from pathlib import Path

import pytest

from migrations.schema_objects import SchemaObject, is_newer, load, release

OBJECTS = load()
COMMENT = re.compile(r"--[^\n]*")
CREATES = re.compile(r"^CREATE (?:OR REPLACE )?(?:FUNCTION|MATERIALIZED VIEW|VIEW|TYPE) ([\w.]+)", re.MULTILINE)
TRIGGERS = re.compile(r"^CREATE OR REPLACE TRIGGER \w+ [^;]*? ON ([\w.]+)", re.MULTILINE)
ANY_TRIGGER = re.compile(r"\bCREATE (OR REPLACE )?(CONSTRAINT )?TRIGGER\b")
SECURITY_DEFINER = re.compile(r"SECURITY DEFINER(?! SET search_path = )")


def uses(user: SchemaObject, other: SchemaObject) -> bool:
    """Return whether the code of ``user`` names ``other``."""
    if user is other or other.name.endswith("_triggers"):
        return False
    before, after = r"(?<![\w.])", r"(?!\w)"
    if other.function_count:
        after = r"\s*\("
    elif "\nCREATE TYPE" in other.sql:
        before = r"(?:::|p_\w+ |\bRETURNS |\b[mc] )"
    return bool(re.search(before + re.escape(other.name) + after, COMMENT.sub("", user.sql)))


@pytest.mark.parametrize("schema_object", OBJECTS, ids=lambda schema_object: schema_object.name)
def test_a_file_creates_only_the_object_of_its_name(schema_object: SchemaObject) -> None:
    created = set(CREATES.findall(schema_object.sql))
    if schema_object.name.endswith("_triggers"):
        assert (created, set(TRIGGERS.findall(schema_object.sql))) == (
            set(),
            {schema_object.name.removesuffix("_triggers")},
        )
    else:
        assert created == {schema_object.name}
        assert not ANY_TRIGGER.search(schema_object.sql)
    assert schema_object.sql.startswith("-- "), "the file must begin with the purpose of the object"
    assert not SECURITY_DEFINER.search(schema_object.sql), "a caller could redirect it with their search_path"


@pytest.mark.parametrize("schema_object", OBJECTS, ids=lambda schema_object: schema_object.name)
def test_a_file_lists_exactly_the_objects_that_it_uses(schema_object: SchemaObject) -> None:
    assert schema_object.requires == {other.name for other in OBJECTS if uses(schema_object, other)}


def test_objects_are_created_after_those_they_require() -> None:
    positions = {schema_object.name: place for place, schema_object in enumerate(OBJECTS)}
    assert all(
        positions[needed] < positions[schema_object.name]
        for schema_object in OBJECTS
        for needed in schema_object.requires
    )
    created_before_tables = {schema_object.name for schema_object in OBJECTS if schema_object.before_tables}
    assert all(
        schema_object.requires <= created_before_tables for schema_object in OBJECTS if schema_object.before_tables
    )


def test_no_function_is_created_elsewhere() -> None:
    """Revisions change only tables. The file of a function holds its current definition."""
    folder = Path(__file__).parents[2] / "migrations"
    others = [path for path in folder.rglob("*") if path.suffix in (".py", ".sql") and path.parent.name != "functions"]
    assert [path.name for path in others if CREATES.search(path.read_text())] == ["schema.sql"]


def test_releases_are_compared_by_their_numbers() -> None:
    assert is_newer("0.10.0", "0.9.9")
    assert not is_newer("0.2.0", "0.2.0")
    assert re.fullmatch(r"\d+\.\d+\.\d+", release())
