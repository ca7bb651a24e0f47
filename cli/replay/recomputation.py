"""Works damaged ledgers out again. Events hold only their seals (count and digest), so nothing is taken on trust.

The selections of a drive follow from the criteria that each evaluation was asked with and the marks that its snapshot
could see; a coordinator's list is the set that the evaluation of it selected. What comes out is kept only if it agrees
with every seal; a ledger for which that fails cannot be mended, and is told.

Not in the log, and so not restored to the microsecond: ``selected_at`` and ``revoked_at`` of rows that are gone. They
are what the other rows of that version say; if none is left, the moment at which the evaluation was recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from chassis.database import Connection
from cli.replay import ledgers, mending
from cli.replay.tables import Table
from contracts.drives import DrivePublished
from contracts.eligibility import EligibilityEvaluated
from contracts.students import StudentEnrolled, StudentRecordRevised

SELECTIONS = Table(
    "selections",
    ("drive_id", "student_id", "selected_version"),
    ("drive_id", "student_id", "selected_version", "selected_at", "revoked_version", "revoked_at"),
)
LISTS = Table(
    "requested_selection",
    ("drive_id", "drive_version", "student_id"),
    ("drive_id", "drive_version", "student_id"),
)
TABLES = (SELECTIONS, LISTS)
CHECKS_OF_SELECTIONS = ("students selected", "selections revoked", "selections in force")
CHECK_OF_LISTS = "lists of publications"

# Beside the tables of the projection; nothing is projected into these.
MAKE = """
CREATE TEMPORARY TABLE "{name}" (LIKE public."{name}" INCLUDING ALL);
CREATE TEMPORARY TABLE IF NOT EXISTS wanted (student_id integer PRIMARY KEY);
"""
DAMAGED = r"""
SELECT DISTINCT substring(subject FROM '^drive (\d+)')::integer AS drive_id,
       substring(subject FROM 'version (\d+)$')::bigint AS version
  FROM ({query}) AS found WHERE fault IS NOT NULL
"""
EVALUATIONS = f"""
SELECT e.version, e.recorded_at, e.data, asked.data -> 'criteria' AS criteria, asked.version AS asked_version,
       CASE WHEN asked.type <> '{DrivePublished.TYPE}' THEN (asked.data ->> 'requested_version')::bigint
            WHEN asked.data -> 'requested' <> 'null' THEN asked.version END AS list_version
  FROM es.event e
  LEFT JOIN es.event asked
    ON asked.stream_id = 'drive-' || $1::integer AND asked.version = (e.data ->> 'drive_version')::bigint
 WHERE e.stream_id = 'eligibility-' || $1::integer AND e.type = '{EligibilityEvaluated.TYPE}'
   AND (e.data ->> 'applied')::boolean
 ORDER BY e.version
"""  # noqa: S608
NEWEST = "SELECT coalesce(max(version), 0) FROM es.event WHERE stream_id = 'eligibility-' || $1::integer"
SEAL = "count(*) AS count, coalesce(bit_xor(hashint8extended(student_id, $1::integer)), 0)::text AS digest"

# One sort of the students' events: the last record of each that the snapshot could see.
WANTED = f"""
INSERT INTO pg_temp.wanted
SELECT s.student_id
  FROM (SELECT DISTINCT ON (e.stream_id) (e.data ->> 'student_id')::integer AS student_id, e.data -> 'record' AS record
          FROM es.event e
         WHERE e.type IN ('{StudentEnrolled.TYPE}', '{StudentRecordRevised.TYPE}')
           AND pg_visible_in_snapshot(e.xid, (SELECT $2::text::pg_snapshot))
         ORDER BY e.stream_id, e.version DESC) s,
       jsonb_to_record(s.record) AS r(branch text, batch_year integer, tenth_percent numeric, twelfth_percent numeric,
           cgpa numeric, active_backlogs integer),
       jsonb_to_record($3::jsonb) AS c(min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer,
           branches text[], batch_years integer[])
 WHERE meets_criteria(r.cgpa, r.tenth_percent, r.twelfth_percent, r.active_backlogs, r.branch, r.batch_year,
           c.min_cgpa, c.min_10th, c.min_12th, c.max_backlogs, c.branches, c.batch_years)
   AND ($4::bigint IS NULL OR s.student_id = ANY (
        SELECT student_id FROM pg_temp.requested_selection WHERE drive_id = $1 AND drive_version = $4))
"""  # noqa: S608
REVOKED = f"""
WITH gone AS (
    UPDATE pg_temp.selections c
       SET revoked_version = $2, revoked_at = coalesce(
           (SELECT mode() WITHIN GROUP (ORDER BY revoked_at) FROM public.selections
             WHERE drive_id = $1 AND revoked_version = $2), $3)
     WHERE drive_id = $1 AND revoked_version IS NULL
       AND NOT EXISTS (SELECT FROM pg_temp.wanted w WHERE w.student_id = c.student_id)
    RETURNING student_id
)
SELECT {SEAL} FROM gone
"""  # noqa: S608
ADDED = f"""
WITH fresh AS (
    INSERT INTO pg_temp.selections (drive_id, student_id, selected_version, selected_at)
    SELECT $1, w.student_id, $2, coalesce(
           (SELECT mode() WITHIN GROUP (ORDER BY selected_at) FROM public.selections
             WHERE drive_id = $1 AND selected_version = $2), $3)
      FROM pg_temp.wanted w
     WHERE NOT EXISTS (SELECT FROM pg_temp.selections c
                        WHERE c.drive_id = $1 AND c.revoked_version IS NULL AND c.student_id = w.student_id)
    RETURNING student_id
)
SELECT {SEAL} FROM fresh
"""  # noqa: S608
PUBLISHED = f"""
SELECT data -> 'requested' AS requested FROM es.event
 WHERE stream_id = 'drive-' || $1::integer AND version = $2 AND type = '{DrivePublished.TYPE}'
"""  # noqa: S608
LIST = f"""
WITH listed AS (
    INSERT INTO pg_temp.requested_selection (drive_id, drive_version, student_id)
    SELECT $1, $2, student_id FROM public.selections
     WHERE drive_id = $1 AND selected_version <= $2 AND coalesce(revoked_version > $2, true)
    RETURNING student_id
)
SELECT {SEAL} FROM listed
"""  # noqa: S608
COPY_LISTS = """
INSERT INTO pg_temp.requested_selection (drive_id, drive_version, student_id)
SELECT drive_id, drive_version, student_id FROM public.requested_selection
 WHERE drive_id = $1 AND drive_version <> ALL ($2::bigint[])
"""
FORGET_LIST = "DELETE FROM pg_temp.requested_selection WHERE drive_id = $1 AND drive_version = $2"
# What differs, either way.
DIFFERING = """
INSERT INTO pg_temp."suspect_{name}" ({key})
SELECT {key} FROM (SELECT * FROM pg_temp."{name}" WHERE {scope}) r
  FULL JOIN (SELECT * FROM public."{name}" WHERE {scope}) l USING ({key})
 WHERE record_image_eq(ROW({r_columns}), ROW({l_columns})) IS NOT TRUE
"""
OF_DRIVE = "drive_id = $1"
OF_LIST = "drive_id = $1 AND drive_version = $2"
LOCK_EVALUATION = "SELECT pg_advisory_xact_lock(hashtextextended('evaluation:' || $1::integer, 0))"
FORGET_SUSPECTS = "DELETE FROM pg_temp.suspect_selections WHERE drive_id = $1"


class Unsound(Exception):
    """What was worked out does not agree with a seal."""


@dataclass(slots=True)
class Recomputed:
    """``drives``: those whose selections were worked out, with the newest version of their evaluations then.

    ``rows``: how many rows of ledgers differ and can be mended. ``impossible``: why the others cannot.
    """

    drives: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    impossible: list[str] = field(default_factory=list)

    def give_up(self, drive_id: int, reason: str) -> None:
        del self.drives[drive_id]
        self.impossible.append(f"the selections of drive {drive_id}: {reason}")


async def prepare(session: Connection) -> None:
    """Empty tables for what is worked out, in the projecting session."""
    async with mending.writable(session):
        for table in TABLES:
            await session.execute(MAKE.format(name=table.name))


async def recompute(reader: Connection, session: Connection) -> Recomputed:
    """Work out, in ``session``, every ledger that does not agree with its seals, as far as that is possible."""
    done = Recomputed()
    lists = {(row["drive_id"], row["version"]) for row in await _damaged(reader, [CHECK_OF_LISTS])}
    for drive_id, version in sorted(lists):
        try:
            await _list(session, drive_id, version)
        except Unsound as reason:
            done.impossible.append(f"the list of drive {drive_id} at version {version}: {reason}")
        else:
            done.rows += await _differing(session, LISTS, OF_LIST, drive_id, version)
    for drive_id in await _drives(reader):
        done.drives[drive_id] = await session.fetchval(NEWEST, drive_id)
        await session.execute(COPY_LISTS, drive_id, [version for drive, version in lists if drive == drive_id])
        try:
            await _selections(session, drive_id)
        except Unsound as reason:
            done.give_up(drive_id, str(reason))
    # The search path finds what was worked out where verify finds the live ledger: the same checks must be silent.
    for drive_id in set(await _drives(session)) & done.drives.keys():
        done.give_up(drive_id, "what the log gives does not agree with the seals of its events")
    for drive_id in done.drives:
        done.rows += await _differing(session, SELECTIONS, OF_DRIVE, drive_id)
    return done


async def guard(session: Connection, done: Recomputed) -> None:
    """In the mending transaction: keep evaluations out, and leave a drive alone that was evaluated meanwhile."""
    for drive_id, newest in done.drives.items():
        await session.execute(LOCK_EVALUATION, drive_id)
        if await session.fetchval(NEWEST, drive_id) != newest:
            await session.execute(FORGET_SUSPECTS, drive_id)


async def _drives(session: Connection) -> list[int]:
    """Whose selections, as the session's search path finds them, do not agree with a seal."""
    return sorted({row["drive_id"] for row in await _damaged(session, CHECKS_OF_SELECTIONS)})


async def _damaged(reader: Connection, checks: Sequence[str]) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = []
    for check in checks:
        found += await reader.fetch(DAMAGED.format(query=ledgers.CHECKS[check]))
    return found


async def _list(session: Connection, drive_id: int, version: int) -> None:
    """Raises ``Unsound``; what was worked out is then forgotten."""
    requested = await session.fetchval(PUBLISHED, drive_id, version)
    if requested is None:
        return  # nobody gave a list, so there must be none
    if not _agrees(await session.fetchrow(LIST, drive_id, version), requested):
        await session.execute(FORGET_LIST, drive_id, version)
        raise Unsound("the selections made from it do not agree with its seal")


async def _selections(session: Connection, drive_id: int) -> None:
    """The drive's whole history, evaluation by evaluation. Raises ``Unsound`` at the first that does not agree."""
    for evaluation in await session.fetch(EVALUATIONS, drive_id):
        sealed, version = evaluation["data"], evaluation["asked_version"]
        if version is None:
            raise Unsound(f"the log does not hold what version {sealed['drive_version']} asked for")
        await session.execute("DELETE FROM pg_temp.wanted")
        criteria = orjson.dumps(evaluation["criteria"]).decode()
        await session.execute(WANTED, drive_id, sealed["snapshot"], criteria, evaluation["list_version"])
        for part, statement in (("revoked", REVOKED), ("added", ADDED)):
            found = await session.fetchrow(statement, drive_id, version, evaluation["recorded_at"])
            if not _agrees(found, sealed[part]):
                raise Unsound(f"what the log gives for version {version} does not agree with the seal of its event")


def _agrees(found: asyncpg.Record | None, sealed: dict[str, Any]) -> bool:
    return found is not None and (found["count"], found["digest"]) == (sealed["count"], sealed["digest"])


async def _differing(session: Connection, table: Table, scope: str, *arguments: int) -> int:
    statement = DIFFERING.format(name=table.name, scope=scope, **mending.parts(table))
    return mending.count_of(await session.execute(statement, *arguments))
