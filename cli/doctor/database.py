"""Check Postgres: connection, version, clock, migrations, log, roles and grants."""

import time
from collections.abc import AsyncIterator

import asyncpg

from chassis.errors import Unavailable
from chassis.eventstore import log_guard
from chassis.postgres.database import Connection, connect_alone
from cli.deployment.roles import ROLES
from cli.doctor.finding import Finding, ok, wrong
from cli.failures import one_line
from migrations.applying import unapplied
from migrations.runner import newest_revision

MIN_VERSION = 18
# Services accept each other's tokens for 60 s, plus 10 s.
MAX_SKEW_S = 5.0

REVISION = "SELECT version_num FROM public.alembic_version"
# Some of the grants that each role needs. All grants: migrations/grants.sql.
NEEDED = {
    "placewire_api": (("es.event", "INSERT"), ("es.job", "INSERT"), ("drives", "UPDATE"), ("students", "SELECT")),
    "placewire_eligibility": (("es.job", "UPDATE"), ("selections", "INSERT"), ("es.probe", "UPDATE")),
    "placewire_exporter": (("es.job", "UPDATE"), ("registrations", "SELECT"), ("es.probe", "UPDATE")),
    "placewire_maintenance": (("es.job", "UPDATE"), ("branch_counts", "MAINTAIN"), ("es.probe", "UPDATE")),
    "placewire_relay": (("es.outbox", "DELETE"), ("es.event", "SELECT")),
}
LACKING = """
SELECT role, string_agg(privilege || ' on ' || relation, ', ') AS what
  FROM unnest($1::text[], $2::text[], $3::text[]) AS needed (role, relation, privilege)
 WHERE NOT has_table_privilege(role, relation, privilege) GROUP BY role ORDER BY role
"""
# Roles without the time limits that migrations set. A database restored without --create has lost these settings.
WITHOUT_LIMITS = """
SELECT r.rolname FROM pg_roles r
 WHERE r.rolname = ANY ($1) AND NOT EXISTS (
       SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
        WHERE s.setrole = r.oid AND d.datname = current_database()
          AND EXISTS (SELECT FROM unnest(s.setconfig) setting WHERE setting LIKE 'transaction_timeout=%'))
 ORDER BY 1
"""
EPOCH = "SELECT number, closed_at FROM es.epoch ORDER BY number DESC LIMIT 1"
PRESENT = "SELECT rolname, rolcanlogin, rolsuper OR rolbypassrls AS unrestricted FROM pg_roles WHERE rolname = ANY ($1)"


async def look(url: str) -> AsyncIterator[Finding]:
    """Yield all findings about the database at ``url``. If it cannot be reached, yield only that finding."""
    try:
        connection = await connect_alone(url, application_name="placewire-doctor", adopted=False)
    except (Unavailable, OSError, asyncpg.PostgresError, ValueError) as error:
        fix = "start Postgres, or correct DATABASE_URL (role, password, host, database)"
        yield wrong("database", f"it cannot be reached: {one_line(error.__cause__ or error)}", fix)
        return
    try:
        role = await connection.fetchval("SELECT current_user")
        yield ok("database", f"reached as {role}")
        yield await _version(connection)
        yield await _clock(connection)
        yield await _server_log(connection)
        revision = await _revision(connection)
        yield revision
        if revision.state == "ok":
            yield await _log(connection)
            async for finding in _roles(connection):
                yield finding
    finally:
        await connection.close()


async def _version(connection: Connection) -> Finding:
    version = await connection.fetchval("SHOW server_version")
    if int(str(version).partition(".")[0].split()[0]) < MIN_VERSION:
        return wrong("versions", f"Postgres is {version}", f"use Postgres {MIN_VERSION} or newer")
    return ok("versions", f"Postgres {version}")


async def _clock(connection: Connection) -> Finding:
    before = time.time()
    database_time = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))
    skew_s = database_time - (before + time.time()) / 2
    if abs(skew_s) > MAX_SKEW_S:
        message = f"this machine and the database are {abs(skew_s):.1f} s apart"
        return wrong("clock", message, "run an NTP client on both: tokens would be refused as expired")
    return ok("clock", f"{abs(skew_s) * 1000:.0f} ms from the database's")


async def _server_log(connection: Connection) -> Finding:
    if await connection.fetchval("SHOW log_error_verbosity") != "terse":
        message = "Postgres writes the DETAIL of errors to its log, which quotes names and e-mail addresses"
        return wrong("server log", message, "ALTER SYSTEM SET log_error_verbosity = 'terse'; SELECT pg_reload_conf()")
    return ok("server log", "it quotes no values of rows")


async def _revision(connection: Connection) -> Finding:
    newest = newest_revision()
    try:
        revision = str(await connection.fetchval(REVISION))
    except asyncpg.UndefinedTableError:
        return wrong("migrations", "there are no tables yet", "run `placewire migrate`")
    except asyncpg.InsufficientPrivilegeError:
        # Only the owner can read alembic_version. Any role can see whether a table exists.
        if await connection.fetchval("SELECT to_regclass('es.job') IS NOT NULL"):
            return ok("migrations", "there are tables (set MIGRATION_DATABASE_URL to see which revision)")
        return wrong("migrations", "there are no tables yet", "run `placewire migrate`")
    if revision > newest:
        message = f"at revision {revision}, newer than this release ({newest})"
        return wrong("migrations", message, "use the newer release")
    if revision < newest:
        return wrong("migrations", f"at revision {revision}, this release needs {newest}", "run `placewire migrate`")
    return await _functions(connection, newest)


async def _functions(connection: Connection, newest: str) -> Finding:
    if missing := await unapplied(connection):
        message = f"at revision {newest}, but these functions are to be applied: {', '.join(missing)}"
        return wrong("migrations", message, "run `placewire migrate`")
    return ok("migrations", f"at the newest revision, {newest}")


async def _log(connection: Connection) -> Finding:
    reason = await log_guard.adoption_reason(connection)
    if reason is not None:
        message = f"it has moved to this server and is not adopted: {log_guard.REASONS[reason]}"
        return wrong("log", message, "stop every process, then run `placewire adopt-log` before any process starts")
    epoch = await connection.fetchrow(EPOCH)
    assert epoch is not None
    if epoch["closed_at"] is not None:
        message = f"it is closed since {epoch['closed_at'].isoformat(timespec='seconds')}, and refuses every change"
        fix = "use the server that has adopted the log; if there is none, run `placewire close-log --reopen`"
        return wrong("closed log", message, fix)
    return ok("log", f"epoch {epoch['number']}, of this server")


async def _roles(connection: Connection) -> AsyncIterator[Finding]:
    present = {row["rolname"]: row for row in await connection.fetch(PRESENT, list(ROLES))}
    found = []
    if missing := sorted(set(ROLES) - present.keys()):
        found.append(wrong("roles", f"missing: {', '.join(missing)}", "run `placewire migrate` as the owner"))
    for name, row in present.items():
        if not row["rolcanlogin"]:
            found.append(wrong("roles", f"{name} may not log in", f"ALTER ROLE {name} LOGIN"))
        if row["unrestricted"]:
            found.append(wrong("roles", f"{name} may do anything", f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS"))
    needed = [(role, *what) for role in present for what in NEEDED[role]]
    for row in await connection.fetch(LACKING, *(list(column) for column in zip(*needed, strict=True))):
        message = f"{row['role']} lacks {row['what']}"
        found.append(wrong("grants", message, "run `placewire migrate`, which applies migrations/grants.sql"))
    for row in await connection.fetch(WITHOUT_LIMITS, list(present)):
        message = f"{row['rolname']} has no time limits in this database: was a dump restored without --create?"
        found.append(wrong("roles", message, "run `placewire migrate`, which applies migrations/roles.sql"))
    for finding in found or [ok("roles", f"{len(ROLES)} roles, with the grants they need; none is unrestricted")]:
        yield finding
