"""The schema: declared tables, one file per function or view, and the generated file of the whole schema."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from cli import schema_file
from migrations import runner, schema_objects
from migrations.applying import SchemaObjectError
from migrations.declared import METADATA
from migrations.waiting import wait

Owner = asyncpg.Connection
Edit = Callable[[str, str, str], None]
# A block of pg_dump's output: name, type and statements.
BLOCK = re.compile(r"^-- Name: ([^;\n]+); Type: ([A-Z ]+);[^\n]*\n--\n\n(.*?)(?=^--\n)", re.MULTILINE | re.DOTALL)
OF_TABLES = ("TABLE", "SEQUENCE", "CONSTRAINT", "FK CONSTRAINT", "DEFAULT", "INDEX")
UNDECLARED = re.compile(r"alembic_version|access_log_rest|\bENABLE\b")


def alembic_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://")


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Return ``edit(file, old, new)``, which changes a copy of the function files, as if by another release.

    Without ``old``, it writes ``new`` as the file. Without both, it deletes the file.
    """
    folder = tmp_path / "functions"
    shutil.copytree(schema_objects.FOLDER, folder)
    monkeypatch.setattr(schema_objects, "FOLDER", folder)

    def change(name: str, old: str, new: str) -> None:
        path = folder / f"{name}.sql"
        if not old and not new:
            path.unlink()
        elif not old:
            path.write_text(new)
        else:
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        schema_objects.load.cache_clear()

    yield change
    schema_objects.load.cache_clear()


def test_schema_sql_is_the_schema_of_a_migrated_database(database_url: str) -> None:
    assert schema_file.dump(database_url) == schema_file.FILE.read_text(), "run `placewire schema`"


def table_blocks(url: str) -> dict[tuple[str, str], str]:
    blocks = BLOCK.findall(schema_file.raw_dump(url))
    views = [name for name, kind, _ in blocks if kind == "MATERIALIZED VIEW"]
    return {
        (name, kind): statements.strip()
        for name, kind, statements in blocks
        if kind in OF_TABLES
        and not UNDECLARED.search(name)
        and not any(f" ON public.{view} " in statements for view in views)
    }


async def test_the_declarations_create_the_same_tables_as_the_migrations(database_url: str, empty_url: str) -> None:
    """Columns, defaults, constraints, indexes and storage parameters of every revision must be declared, too."""
    before_tables = [schema_object.sql for schema_object in schema_objects.load() if schema_object.before_tables]

    def create(connection: Connection) -> None:
        connection.execute(text("CREATE SCHEMA es"))
        connection.execute(text("CREATE SCHEMA vault"))
        METADATA.create_all(connection)

    owner = await asyncpg.connect(empty_url)
    for sql in before_tables:
        await owner.execute(sql)
    await owner.close()
    engine = create_async_engine(alembic_url(empty_url))
    async with engine.begin() as connection:
        await connection.run_sync(create)
    await engine.dispose()
    declared, migrated = table_blocks(empty_url), table_blocks(database_url)
    assert len(declared) > 100
    assert declared == migrated


async def test_migrating_again_changes_nothing(database_url: str, owner: "Owner[asyncpg.Record]") -> None:
    applied = "SELECT max(applied_at) FROM schema_object"
    before, applied_before = schema_file.dump(database_url), await owner.fetchval(applied)
    await runner.migrate(alembic_url(database_url))
    assert schema_file.dump(database_url) == before
    assert await owner.fetchval(applied) == applied_before


async def test_a_changed_function_is_applied_and_waited_for(
    database_url: str, owner: "Owner[asyncpg.Record]", edit: Edit
) -> None:
    edit("vault.shown_name", "'Erased person'", "'Somebody'")
    assert await runner.check(alembic_url(database_url)) == ["vault.shown_name"]
    with pytest.raises(TimeoutError, match=r"1 functions are to be applied: vault\.shown_name"):
        await wait(database_url, within_s=1.5)
    await runner.migrate(alembic_url(database_url))
    assert await wait(database_url, within_s=10) == runner.newest_revision()
    assert await owner.fetchval("SELECT vault.shown_name(NULL)") == "Somebody"
    assert await runner.check(alembic_url(database_url)) == []


async def test_a_changed_or_dropped_view_is_created_again_with_its_index_and_grants(
    database_url: str, owner: "Owner[asyncpg.Record]", edit: Edit
) -> None:
    edit("drives_over_time", "SELECT drive_id, created_at, status", "SELECT drive_id, created_at, status, job_title")
    before = schema_file.dump(database_url)
    await runner.migrate(alembic_url(database_url))
    after = schema_file.dump(database_url)
    added = set(after.splitlines()) - set(before.splitlines())
    assert added == {"    status,", "    job_title"}
    # A revision that changes a column of the view must drop it. Then the unchanged file creates the view again.
    await owner.execute("DROP MATERIALIZED VIEW drives_over_time")
    assert await runner.check(alembic_url(database_url)) == ["drives_over_time"]
    await runner.migrate(alembic_url(database_url))
    assert schema_file.dump(database_url) == after


async def test_objects_that_a_release_no_longer_has_are_dropped(
    database_url: str, owner: "Owner[asyncpg.Record]", edit: Edit
) -> None:
    """The release drops views, triggers and a function. It keeps a function that a later release has applied."""
    function = (
        "-- Of a test.\n{needs}CREATE OR REPLACE FUNCTION {name}() RETURNS integer LANGUAGE sql RETURN {value};\n"
    )
    view = "-- Of a test.\n-- requires: es.second\nCREATE MATERIALIZED VIEW {name} AS SELECT es.second();\n"
    edit("es.first", "", function.format(name="es.first", value="1", needs=""))
    edit("es.second", "", function.format(name="es.second", value="es.first()", needs="-- requires: es.first\n"))
    for name in ("one_view", "other_view"):
        edit(name, "", view.format(name=name))
    await runner.migrate(alembic_url(database_url))
    assert await owner.fetchval("SELECT second FROM one_view") == 1
    await owner.execute("UPDATE schema_object SET release = '99.0.0' WHERE name = 'es.first'")
    for name in ("es.first", "es.second", "one_view", "other_view", "vault.person_triggers"):
        edit(name, "", "")
    await runner.migrate(alembic_url(database_url))
    remaining = (
        "SELECT array_agg(proname::text) FROM pg_proc WHERE pronamespace = 'es'::regnamespace AND proname = ANY ($1)"
    )
    assert await owner.fetchval(remaining, ["first", "second"]) == ["first"], (
        "a later release has applied this function"
    )
    assert await owner.fetchval("SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_view'") == 0
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'vault.person'::regclass AND NOT tgisinternal"
    assert await owner.fetchval(triggers) == 0


async def test_the_previous_release_does_not_change_functions_of_a_later_release(
    database_url: str, owner: "Owner[asyncpg.Record]", edit: Edit
) -> None:
    later = await owner.fetchrow(
        "UPDATE schema_object SET checksum = 'x', release = '99.0.0' WHERE name = 'vault.shown_name' RETURNING *"
    )
    edit("vault.shown_name", "'Erased person'", "'Somebody'")
    assert await wait(database_url, within_s=10) == runner.newest_revision()
    await runner.migrate(alembic_url(database_url))
    assert await owner.fetchval("SELECT vault.shown_name(NULL)") == "Erased person"
    assert await owner.fetchrow("SELECT * FROM schema_object WHERE name = 'vault.shown_name'") == later


async def test_a_function_with_other_arguments_needs_another_name(
    database_url: str, owner: "Owner[asyncpg.Record]", edit: Edit
) -> None:
    """Otherwise processes of the previous release would call the old form, whose definition is in no file any more."""
    edit("vault.shown_name", "(p_name text)", "(p_name text, p_other text)")
    with pytest.raises(SchemaObjectError, match=r"shown_name\(text\), vault.shown_name\(text,text\)"):
        await runner.migrate(alembic_url(database_url))
    assert await owner.fetchval("SELECT count(*) FROM pg_proc WHERE proname = 'shown_name'") == 1


async def test_a_manually_changed_function_is_reported_and_not_changed(
    database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute(
        "CREATE OR REPLACE FUNCTION vault.shown_name(p_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE"
        " RETURN coalesce(p_name, 'by hand')"
    )
    assert await runner.check(alembic_url(database_url)) == ["vault.shown_name"]
    assert await owner.fetchval("SELECT vault.shown_name(NULL)") == "by hand"
    await owner.execute("DROP TRIGGER person_is_never_changed ON vault.person")
    await owner.execute("DROP TRIGGER person_is_never_truncated ON vault.person")
    assert await runner.check(alembic_url(database_url)) == ["vault.person_triggers", "vault.shown_name"]


async def test_an_owner_without_the_right_to_change_roles_can_migrate(
    database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    """The roles exist already. A timeout that an operator has set is kept."""
    name = await owner.fetchval("SELECT current_database()")
    role = f"owner_{uuid4().hex[:8]}"
    await owner.execute(f"CREATE ROLE {role} LOGIN")
    try:
        await owner.execute(f"ALTER ROLE placewire_api IN DATABASE \"{name}\" SET transaction_timeout = '61s'")
        for sql in await owner.fetch(
            "SELECT format('ALTER %s %s OWNER TO %I', kind, what, $1::text) FROM ("
            " SELECT 'TABLE', oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace ="
            " ANY (ARRAY['es', 'public', 'vault']::regnamespace[])"
            " UNION ALL SELECT 'MATERIALIZED VIEW', oid::regclass::text FROM pg_class WHERE relkind = 'm'"
            " UNION ALL SELECT 'SEQUENCE', oid::regclass::text FROM pg_class c WHERE relkind = 'S' AND NOT EXISTS"
            " (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i')"
            " UNION ALL SELECT 'FUNCTION', oid::regprocedure::text FROM pg_proc WHERE pronamespace ="
            " ANY (ARRAY['es', 'public', 'vault']::regnamespace[])"
            " UNION ALL SELECT 'SCHEMA', nspname::text FROM pg_namespace WHERE nspname IN ('es', 'public', 'vault')"
            ") AS owned (kind, what)",
            role,
        ):
            await owner.execute(sql[0])
        await runner.migrate(alembic_url(database_url).replace("//postgres@", f"//{role}@"))
        limits = await owner.fetchval(
            "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase"
            " WHERE datname = current_database() AND setrole = 'placewire_api'::regrole"
        )
        assert "transaction_timeout=61s" in limits
    finally:
        await owner.execute(f"REASSIGN OWNED BY {role} TO postgres")
        await owner.execute(f"DROP OWNED BY {role}")
        await owner.execute(f"DROP ROLE {role}")
