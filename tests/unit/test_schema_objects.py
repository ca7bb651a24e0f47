"""The files of migrations/functions: each is found by the name of what it creates, and says what that needs."""

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


def uses(one: SchemaObject, other: SchemaObject) -> bool:
    """Return whether the code of ``one`` names ``other``."""
    if one is other or other.name.endswith("_triggers"):
        return False
    before, after = r"(?<![\w.])", r"(?!\w)"
    if other.function_count:
        after = r"\s*\("
    elif "\nCREATE TYPE" in other.sql:
        before = r"(?:::|p_\w+ |\bRETURNS |\b[mc] )"
    return bool(re.search(before + re.escape(other.name) + after, COMMENT.sub("", one.sql)))


@pytest.mark.parametrize("one", OBJECTS, ids=lambda one: one.name)
def test_a_file_creates_what_its_name_says_and_nothing_else(one: SchemaObject) -> None:
    created = set(CREATES.findall(one.sql))
    if one.name.endswith("_triggers"):
        assert (created, set(TRIGGERS.findall(one.sql))) == (set(), {one.name.removesuffix("_triggers")})
    else:
        assert created == {one.name}
        assert not ANY_TRIGGER.search(one.sql)
    assert one.sql.startswith("-- "), "it begins with its purpose"
    assert not SECURITY_DEFINER.search(one.sql), "else a caller chooses which tables it finds"


@pytest.mark.parametrize("one", OBJECTS, ids=lambda one: one.name)
def test_a_file_names_exactly_what_it_requires(one: SchemaObject) -> None:
    assert one.requires == {other.name for other in OBJECTS if uses(one, other)}


def test_objects_come_after_what_they_require() -> None:
    places = {one.name: place for place, one in enumerate(OBJECTS)}
    assert all(places[needed] < places[one.name] for one in OBJECTS for needed in one.requires)
    before = {one.name for one in OBJECTS if one.before_tables}
    assert all(one.requires <= before for one in OBJECTS if one.before_tables)


def test_no_function_is_created_elsewhere() -> None:
    """A revision changes tables. The current text of each function stands in its file."""
    folder = Path(__file__).parents[2] / "migrations"
    others = [path for path in folder.rglob("*") if path.suffix in (".py", ".sql") and path.parent.name != "functions"]
    assert [path.name for path in others if CREATES.search(path.read_text())] == ["schema.sql"]


def test_releases_are_compared_by_their_numbers() -> None:
    assert is_newer("0.10.0", "0.9.9")
    assert not is_newer("0.2.0", "0.2.0")
    assert re.fullmatch(r"\d+\.\d+\.\d+", release())
