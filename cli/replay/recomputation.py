"""Recompute damaged ledgers. Events hold only checksums of a ledger. A result is used only if it agrees with them all.

The selections of a drive are recomputed evaluation by evaluation, in the order in which these were recorded. An
evaluation depends on its criteria, the marks that its snapshot could see, and the range of students that it covered. A
coordinator's list consists of the students whom its evaluations selected. A ledger whose recomputed rows do not agree
with a checksum is reported and not repaired.

The log does not hold ``selected_at`` and ``revoked_at``. A missing row gets the value of the other rows of its version.
Without such rows, it gets the time at which the evaluation was recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from chassis.postgres.database import Connection
from cli.replay import ledgers, repair
from cli.replay.tables import Table
from contracts.drives import DrivePublished
from contracts.eligibility import EligibilityEvaluated
from contracts.students import StudentEnrolled, StudentRecordRevised
from contracts.users import AccountDeactivated, AccountReactivated

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

# Temporary tables in addition to those of the projection. No event is projected into them.
MAKE = """
CREATE TEMPORARY TABLE "{name}" (LIKE public."{name}" INCLUDING ALL);
CREATE TEMPORARY TABLE IF NOT EXISTS wanted (student_id integer PRIMARY KEY);
"""
DAMAGED = r"""
SELECT DISTINCT substring(subject FROM '^drive (\d+)')::integer AS drive_id,
       substring(subject FROM 'version (\d+)$')::bigint AS version
  FROM ({query}) AS found WHERE fault IS NOT NULL
"""
# Ordered by recording, because a reevaluation can be recorded before the evaluation of an older version.
# ``version`` is the version in the ledger's rows. ``judged_by`` is the version that has a reevaluation's criteria.
EVALUATIONS = f"""
SELECT e.version AS place, e.recorded_at, e.data, (e.data ->> 'drive_version')::bigint AS version,
       (e.data #>> '{{students,first}}')::integer AS first, (e.data #>> '{{students,last}}')::integer AS last,
       asked.data -> 'criteria' AS criteria,
       CASE WHEN asked.type <> '{DrivePublished.TYPE}' THEN (asked.data ->> 'requested_version')::bigint
            WHEN asked.data -> 'requested' <> 'null' THEN asked.version END AS list_version
  FROM es.event e
  LEFT JOIN es.event asked
    ON asked.stream_id = 'drive-' || $1::integer
   AND asked.version = coalesce(e.data ->> 'judged_by', e.data ->> 'drive_version')::bigint
 WHERE e.stream_id = 'eligibility-' || $1::integer AND e.type = '{EligibilityEvaluated.TYPE}'
   AND (e.data ->> 'applied')::boolean
 ORDER BY e.version
"""  # noqa: S608
NEWEST = "SELECT coalesce(max(version), 0) FROM es.event WHERE stream_id = 'eligibility-' || $1::integer"
CHECKSUM = "count(*) AS count, coalesce(bit_xor(hashint8extended(student_id, $1::integer)), 0)::text AS digest"

# One sort of the students' events finds the last record of each student that the snapshot could see. Evaluations of a
# range of students (AMONG) can be very many, so they use index scans of event_stream_version.
WANTED = f"""
INSERT INTO pg_temp.wanted
SELECT s.student_id
  FROM (SELECT DISTINCT ON (e.stream_id) (e.data ->> 'student_id')::integer AS student_id, e.data -> 'record' AS record
          FROM es.event e
         WHERE e.type IN ('{StudentEnrolled.TYPE}', '{StudentRecordRevised.TYPE}')
           AND pg_visible_in_snapshot(e.xid, (SELECT $2::text::pg_snapshot)) {{among}}
         ORDER BY e.stream_id, e.version DESC) s,
       jsonb_to_record(s.record) AS r(branch text, batch_year integer, tenth_percent numeric, twelfth_percent numeric,
           diploma_percent numeric, cgpa numeric, active_backlogs integer),
       jsonb_to_record($3::jsonb) AS c(min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer,
           branches text[], batch_years integer[]),
       LATERAL (SELECT branch_key(r.branch) AS branch OFFSET 0) key_of,
       LATERAL (SELECT branch_keys(c.branches) AS branches OFFSET 0) keys_of
 WHERE meets_criteria(
           ROW(r.cgpa, r.tenth_percent, r.twelfth_percent, r.diploma_percent, r.active_backlogs, key_of.branch,
               r.batch_year)::marks,
           ROW(c.min_cgpa, c.min_10th, c.min_12th, c.max_backlogs, keys_of.branches, c.batch_years)::criteria)
   AND s.student_id NOT IN (
       SELECT user_id
         FROM (SELECT DISTINCT ON (e.stream_id) (e.data ->> 'user_id')::integer AS user_id, e.type FROM es.event e
                WHERE e.type IN ('{AccountDeactivated.TYPE}', '{AccountReactivated.TYPE}')
                  AND pg_visible_in_snapshot(e.xid, (SELECT $2::text::pg_snapshot))
                ORDER BY e.stream_id, e.version DESC) activity
        WHERE type = '{AccountDeactivated.TYPE}')
   AND ($4::bigint IS NULL OR s.student_id = ANY (
        SELECT student_id FROM pg_temp.requested_selection WHERE drive_id = $1 AND drive_version = $4))
"""  # noqa: S608
AMONG = "AND e.stream_id IN (SELECT 'student-' || id FROM generate_series($5::integer, $6::integer) AS id)"
REVOKED = f"""
WITH gone AS (
    UPDATE pg_temp.selections c
       SET revoked_version = $2, revoked_at = coalesce(
           (SELECT mode() WITHIN GROUP (ORDER BY revoked_at) FROM public.selections
             WHERE drive_id = $1 AND revoked_version = $2), $3)
     WHERE drive_id = $1 AND revoked_version IS NULL
       AND ($4::integer IS NULL OR c.student_id BETWEEN $4 AND $5::integer)
       AND NOT EXISTS (SELECT FROM pg_temp.wanted w WHERE w.student_id = c.student_id)
    RETURNING student_id
)
SELECT {CHECKSUM} FROM gone
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
SELECT {CHECKSUM} FROM fresh
"""  # noqa: S608
PUBLISHED = f"""
SELECT data -> 'requested' AS requested FROM es.event
 WHERE stream_id = 'drive-' || $1::integer AND version = $2 AND type = '{DrivePublished.TYPE}'
"""  # noqa: S608
# The list has each student who was selected after an evaluation of this list. ``judged``: the place of the first
# evaluation of this list that is not before the row's evaluation.
LIST = f"""
WITH done AS MATERIALIZED (
    SELECT version, place, min(place) FILTER (WHERE list_version = $2) OVER (ORDER BY place DESC) AS judged
      FROM ({EVALUATIONS}) AS evaluated
), listed AS (
    INSERT INTO pg_temp.requested_selection (drive_id, drive_version, student_id)
    SELECT DISTINCT $1::integer, $2::bigint, c.student_id
      FROM public.selections c
      JOIN done selected ON selected.version = c.selected_version
      LEFT JOIN done revoked ON revoked.version = c.revoked_version
     WHERE c.drive_id = $1 AND selected.judged IS NOT NULL
       AND (c.revoked_version IS NULL OR selected.judged < revoked.place)
    RETURNING student_id
)
SELECT {CHECKSUM} FROM listed
"""  # noqa: S608
COPY_LISTS = """
INSERT INTO pg_temp.requested_selection (drive_id, drive_version, student_id)
SELECT drive_id, drive_version, student_id FROM public.requested_selection
 WHERE drive_id = $1 AND drive_version <> ALL ($2::bigint[])
"""
FORGET_LIST = "DELETE FROM pg_temp.requested_selection WHERE drive_id = $1 AND drive_version = $2"
# The rows that differ or that only one side has.
DIFFERING = """
INSERT INTO pg_temp."suspect_{name}" ({key})
SELECT {key} FROM (SELECT * FROM pg_temp."{name}" WHERE {scope}) r
  FULL JOIN (SELECT * FROM public."{name}" WHERE {scope}) l USING ({key})
 WHERE record_image_eq(ROW({r_columns}), ROW({l_columns})) IS NOT TRUE
"""
OF_DRIVE = "drive_id = $1"
OF_LIST = "drive_id = $1 AND drive_version = $2"
LOCK_EVALUATION = "SELECT lock_exclusive('evaluation', $1)"
FORGET_SUSPECTS = "DELETE FROM pg_temp.suspect_selections WHERE drive_id = $1"


class Unsound(Exception):
    """The recomputed ledger does not agree with a checksum in an event."""


# ``DataError``: an event holds data that the statements cannot read. The other drives can still be repaired.
UNUSABLE = (Unsound, asyncpg.DataError)


@dataclass(slots=True)
class Recomputed:
    """The result of ``recompute``. ``drives``: the newest version of each recomputed drive's evaluations at that time.

    ``rows``: how many rows differ and can be repaired. ``impossible``: why the other ledgers cannot be repaired.
    """

    drives: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    impossible: list[str] = field(default_factory=list)

    def give_up(self, drive_id: int, reason: str) -> None:
        del self.drives[drive_id]
        self.impossible.append(f"the selections of drive {drive_id}: {reason}")


async def prepare(session: Connection) -> None:
    """Create empty temporary tables for the recomputed ledgers in the projecting session."""
    async with repair.writable(session):
        for table in TABLES:
            await session.execute(MAKE.format(name=table.name))


async def recompute(reader: Connection, session: Connection) -> Recomputed:
    """Recompute in ``session`` every ledger that does not agree with its checksums. Report those that fail."""
    done = Recomputed()
    lists = {(row["drive_id"], row["version"]) for row in await _damaged(reader, [CHECK_OF_LISTS])}
    for drive_id, version in sorted(lists):
        try:
            await _list(session, drive_id, version)
        except UNUSABLE as reason:
            done.impossible.append(f"the list of drive {drive_id} at version {version}: {_reason_text(reason)}")
        else:
            done.rows += await _differing(session, LISTS, OF_LIST, drive_id, version)
    for drive_id in await _drives(reader):
        done.drives[drive_id] = await session.fetchval(NEWEST, drive_id)
        await session.execute(COPY_LISTS, drive_id, [version for drive, version in lists if drive == drive_id])
        try:
            await _selections(session, drive_id)
        except UNUSABLE as reason:
            done.give_up(drive_id, _reason_text(reason))
    # The search path of ``session`` finds the recomputed ledgers first, so these checks now apply to them.
    for drive_id in set(await _drives(session)) & done.drives.keys():
        done.give_up(drive_id, "the recomputed rows do not agree with the checksums in its events")
    for drive_id in done.drives:
        done.rows += await _differing(session, SELECTIONS, OF_DRIVE, drive_id)
    return done


async def guard(session: Connection, done: Recomputed) -> None:
    """Block evaluations until the repair commits. Skip drives that have been evaluated since their recomputation."""
    for drive_id, newest in done.drives.items():
        await session.execute(LOCK_EVALUATION, drive_id)
        if await session.fetchval(NEWEST, drive_id) != newest:
            await session.execute(FORGET_SUSPECTS, drive_id)


async def _drives(session: Connection) -> list[int]:
    """Return the drives whose selections, in the session's search path, do not agree with a checksum."""
    return sorted({row["drive_id"] for row in await _damaged(session, CHECKS_OF_SELECTIONS)})


async def _damaged(reader: Connection, checks: Sequence[str]) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = []
    for check in checks:
        found += await reader.fetch(DAMAGED.format(query=ledgers.CHECKS[check]))
    return found


async def _list(session: Connection, drive_id: int, version: int) -> None:
    """Recompute a coordinator's list. If the result does not agree with the checksum, delete it, raise ``Unsound``."""
    requested = await session.fetchval(PUBLISHED, drive_id, version)
    if requested is None:
        return  # the publication had no list
    if not _agrees(await session.fetchrow(LIST, drive_id, version), requested):
        await session.execute(FORGET_LIST, drive_id, version)
        raise Unsound("the selections made from it do not agree with its checksum")


async def _selections(session: Connection, drive_id: int) -> None:
    """Recompute the selections of a drive. Raises ``Unsound`` at the first checksum that does not agree."""
    for evaluation in await session.fetch(EVALUATIONS, drive_id):
        event, version = evaluation["data"], evaluation["version"]
        await _evaluate(session, drive_id, evaluation)
        students = evaluation["first"], evaluation["last"]
        for part, statement, further in (("revoked", REVOKED, students), ("added", ADDED, ())):
            checksum = await session.fetchrow(statement, drive_id, version, evaluation["recorded_at"], *further)
            if not _agrees(checksum, event[part]):
                raise Unsound(f"the recomputed rows of version {version} do not agree with the checksum in its event")


async def _evaluate(session: Connection, drive_id: int, evaluation: asyncpg.Record) -> None:
    """Fill ``wanted`` with the students whom the evaluation selected. Raises ``Unsound`` if there are no criteria."""
    if not evaluation["criteria"]:
        raise Unsound(f"the log does not hold the criteria of version {evaluation['version']}")
    criteria = orjson.dumps(evaluation["criteria"]).decode()
    arguments = [drive_id, evaluation["data"]["snapshot"], criteria, evaluation["list_version"]]
    if evaluation["first"] is not None:
        arguments += [evaluation["first"], evaluation["last"]]
    await session.execute("DELETE FROM pg_temp.wanted")
    await session.execute(WANTED.format(among=AMONG if len(arguments) > 4 else ""), *arguments)


def _reason_text(reason: Exception) -> str:
    return str(reason) if isinstance(reason, Unsound) else f"an event holds data that cannot be read ({reason})"


def _agrees(row: asyncpg.Record | None, checksum: dict[str, Any]) -> bool:
    return row is not None and (row["count"], row["digest"]) == (checksum["count"], checksum["digest"])


async def _differing(session: Connection, table: Table, scope: str, *arguments: int) -> int:
    statement = DIFFERING.format(name=table.name, scope=scope, **repair.parts(table))
    return repair.count_of(await session.execute(statement, *arguments))
