"""Installation: migrations as printed SQL, secrets as files, and passwords of the database roles."""

import asyncio
import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from typer.testing import CliRunner

from chassis.settings import load
from cli import schema_file
from cli.deployment import secret_files
from cli.deployment.roles import PASSWORD_OF, ROLES, scram_verifier, set_passwords
from cli.failures import Failure
from cli.main import app
from devstack.unprivileged import programs
from migrations import runner
from migrations.waiting import wait
from services.api.settings import ApiSettings
from tests.support.system import as_role

Owner = asyncpg.Connection
ROOT = Path(__file__).parents[2]
OWNER_URL = "postgresql://postgres@db:5432/placewire"


def placewire(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")} | settings
    command = [sys.executable, "-m", "cli.main", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def print_sql(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["migrate", "--sql", *words])
    return (0 if result.exception is None else 1), result.stdout


async def run_with_psql(url: str, sql: str) -> None:
    """Run the printed SQL with psql, as docs/deployment.md describes."""
    psql = [str(programs() / "psql"), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", url]
    completed = await asyncio.to_thread(subprocess.run, psql, input=sql, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr


async def is_as_migrated(url: str) -> bool:
    assert await runner.check(url.replace("postgresql://", "postgresql+asyncpg://")) == []
    return await asyncio.to_thread(schema_file.dump, url) == schema_file.FILE.read_text()


@pytest.fixture
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "set, so that no settings are read from the checkout")


@pytest.mark.usefixtures("without_settings")
async def test_the_printed_sql_creates_the_same_schema_as_migrate(empty_url: str) -> None:
    code, sql = print_sql()
    assert code == 0
    await run_with_psql(empty_url, sql)
    assert await is_as_migrated(empty_url)
    await wait(as_role(empty_url, "placewire_relay"), within_s=10)
    await runner.migrate(empty_url.replace("postgresql://", "postgresql+asyncpg://"))
    assert await is_as_migrated(empty_url)


@pytest.mark.usefixtures("without_settings")
async def test_only_new_migrations_and_changed_objects_are_applied(
    database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    (_, full), (_, since_first) = print_sql(), print_sql("--since", "0001")
    assert "CREATE TABLE es.stream" in full
    assert "CREATE TABLE es.stream" not in since_first
    assert since_first.startswith("BEGIN;\n")
    # A failure must print no SQL, because psql would run it.
    assert print_sql("--since", "9999") == (1, "")
    view = "SELECT 'drive_funnel'::regclass::oid"
    view_oid = await owner.fetchval(view)
    await owner.execute("DROP FUNCTION es.age_s")
    await owner.execute(
        "CREATE OR REPLACE FUNCTION vault.shown_name(p_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE"
        " RETURN coalesce(p_name, 'former definition')"
    )
    await owner.execute("UPDATE schema_object SET checksum = 'x', release = '0.0.1' WHERE name = 'vault.shown_name'")
    await owner.execute("DELETE FROM schema_object WHERE name = 'es.age_s'")
    await run_with_psql(database_url, since_first)
    assert await is_as_migrated(database_url)
    assert await owner.fetchval(view) == view_oid, "an unchanged view must not be created again"


@pytest.mark.usefixtures("without_settings")
def test_the_schema_is_checked_from_the_command_line(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATION_DATABASE_URL", database_url)
    checked = CliRunner().invoke(app, ["migrate", "--check"])
    assert (checked.exception, checked.stdout) == (None, "Tables and functions are as declared.\n")
    changed = "UPDATE schema_object SET checksum = 'x' WHERE name IN ('es.append', 'branch_counts')"
    subprocess.run([programs() / "psql", "--quiet", "--dbname", database_url, "--command", changed], check=True)
    differs = CliRunner().invoke(app, ["migrate", "--check"])
    assert str(differs.exception) == "these functions, views or triggers differ: branch_counts, es.append"


def test_only_the_owner_may_read_secrets_and_git_ignores_them(tmp_path: Path) -> None:
    """An existing folder keeps its mode: in a container, it is a volume of the user of the process."""
    folder, mounted = tmp_path / "secrets", tmp_path / "secrets" / "api"
    umask = os.umask(0o022)
    try:
        secret_files.write(folder, OWNER_URL, "file:///tmp/x", {})
        mounted.chmod(0o755)
        secret_files.write(folder, OWNER_URL, "s3://bucket", {})
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes.pop("api") == 0o755
    assert set(modes.values()) == {0o700}
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


async def test_the_scram_verifier_is_that_of_the_server(owner: "Owner[asyncpg.Record]") -> None:
    role, password = f"temporary_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    await owner.execute(f"CREATE ROLE {role} PASSWORD '{password}'")
    try:
        stored = await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", role)
        salt = secret_salt(stored)
        assert scram_verifier(password, salt) == stored
        assert scram_verifier(password) != stored, "each verifier must have another salt"
    finally:
        await owner.execute(f"DROP ROLE {role}")
    with pytest.raises(Failure):
        scram_verifier("pässword")


def secret_salt(verifier: str) -> bytes:
    from base64 import b64decode

    return b64decode(verifier.split("$")[1].partition(":")[2])


async def test_passwords_of_roles_are_set_without_sending_them_in_plain_text(
    database_url: str, owner: "Owner[asyncpg.Record]", tmp_path: Path
) -> None:
    secret_files.write(tmp_path, OWNER_URL, "file:///tmp/x", {})
    verifiers = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY ($1)"
    try:
        folder = str(tmp_path / "operator")
        completed = placewire("roles", "--from", folder, MIGRATION_DATABASE_URL=database_url)
        assert completed.returncode == 0, completed.stderr
        stored = {row["rolname"]: row["rolpassword"] for row in await owner.fetch(verifiers, list(ROLES))}
        for role, secret in PASSWORD_OF.items():
            password = (tmp_path / "operator" / secret).read_text()
            assert stored[role] == scram_verifier(password, secret_salt(stored[role]))
            assert password not in completed.stdout + completed.stderr
        with pytest.raises(asyncpg.UndefinedObjectError):
            await set_passwords(database_url, {"placewire_api": "changed", "placewire_nobody": "x"})
        assert await owner.fetchval(verifiers.replace("rolname, ", ""), ["placewire_api"]) == stored["placewire_api"]
    finally:
        for role in ROLES:
            await owner.execute(f"ALTER ROLE {role} PASSWORD NULL")


def test_secrets_are_generated_once_and_each_process_gets_only_its_own(tmp_path: Path) -> None:
    given = {"jwt_secret": "j" * 40, "internal_secret": ""}
    written = secret_files.write(tmp_path, OWNER_URL, "file:///var/lib/placewire/uploads", given)
    assert "jwt_secret" not in written
    assert "internal_secret" in written
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    for not_given in (None, ""):  # a later run without --storage, or an empty STORAGE_URL
        assert secret_files.write(tmp_path, OWNER_URL, not_given, {}) == []
        assert before == {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert secret_files.write(tmp_path, OWNER_URL, "s3://bucket", {}) == []
    after = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    changed = {path.relative_to(tmp_path).as_posix() for path in before if before[path] != after[path]}
    assert changed == {f"{process}/storage_url" for process in ("api", "exporter", "maintenance", "operator")}
    names = {folder.name: {path.name for path in folder.iterdir()} for folder in tmp_path.iterdir()}
    assert names["relay"] == {"database_url"}
    assert names["eligibility"] == {"database_url", "internal_secret"}
    assert names["api"] == {"database_url", "internal_secret", "jwt_secret", "storage_url"}
    assert names["postgres"] == {"postgres_password"}
    long = [value for path, value in after.items() if path.parent.name == "operator" and "url" not in path.name]
    assert len(set(long)) == len(long)
    assert min(len(value) for value in long) >= 32


def test_the_storage_url_is_kept_unless_another_one_is_given(tmp_path: Path) -> None:
    """Docker Compose calls the command like this, first with the profile `s3` and later without it."""
    folder = str(tmp_path / "secrets")
    file = tmp_path / "secrets" / "exporter" / "storage_url"
    results = [
        placewire("secrets", folder, *storage) for storage in (("--storage", ""), ("--storage", "s3://placewire"))
    ]
    assert file.read_text() == "s3://placewire"
    assert "Files were stored at file:///var/lib/placewire/uploads" in results[1].stdout
    for later in ((), ("--storage", "")):
        completed = placewire("secrets", folder, *later)
        assert (completed.returncode, completed.stdout) == (0, "Every secret exists already.\n")
        assert file.read_text() == "s3://placewire"


def test_settings_are_read_from_the_folder_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_files.write(
        tmp_path, OWNER_URL, "file:///var/lib/placewire/uploads", {"placewire_api_password": "p@ss/w:rd"}
    )
    for name in ("DATABASE_URL", "JWT_SECRET", "INTERNAL_SECRET", "STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "api"))
    settings = load(ApiSettings)
    assert settings.database_url == "postgresql://placewire_api:p%40ss%2Fw%3Ard@db:5432/placewire"
    assert "p@ss" not in repr(settings)


def test_a_short_secret_is_refused_and_secret_files_are_read_only(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="JWT_SECRET is too short"):
        secret_files.write(tmp_path, OWNER_URL, "file:///x", {"jwt_secret": "short"})
    assert list(tmp_path.iterdir()) == []
    secret_files.write(tmp_path, OWNER_URL, "file:///x", {})
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o444}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_can_check_the_revision_of_the_database(database_url: str, role: str) -> None:
    completed = placewire("migrate", "--wait", "--within", "10", DATABASE_URL=as_role(database_url, role))
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "The database is at revision" in completed.stdout


async def test_a_process_waits_for_the_migration(database_url: str, owner: "Owner[asyncpg.Record]") -> None:
    newest = await owner.fetchval("SELECT version_num FROM alembic_version")
    await owner.execute("UPDATE alembic_version SET version_num = '0000'")
    url = as_role(database_url, "placewire_relay")
    refused = placewire("migrate", "--wait", "--within", "1", DATABASE_URL=url)
    assert refused.returncode == 1
    assert f"not at revision {newest} after 1 s: it is at revision 0000" in " ".join(refused.stderr.split())
    waiting = asyncio.create_task(wait(url, within_s=30))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    # A revision newer than this release is accepted, too.
    await owner.execute("UPDATE alembic_version SET version_num = '9999'")
    assert await waiting == "9999"
    await owner.execute("UPDATE alembic_version SET version_num = $1", newest)


async def test_wait_times_out_while_the_database_is_unreachable_or_empty(database_url: str) -> None:
    with pytest.raises(TimeoutError, match=r"after 1\.5 s: Unavailable"):
        await wait("postgresql://placewire_relay@127.0.0.1:9/placewire", within_s=1.5)
    empty = urlunsplit(urlsplit(database_url)._replace(path="/postgres"))
    with pytest.raises(TimeoutError, match="UndefinedTableError"):
        await wait(empty, within_s=1.5)
