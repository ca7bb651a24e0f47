"""Check ledgers, people, streams and jobs against the events, with one query each.

Each query returns rows of ``(subject, fault)``. ``fault`` is null for a correct subject.
"""

from dataclasses import dataclass

from chassis.postgres.database import Connection
from contracts.checks import CheckAnswered, CheckFailed
from contracts.drives import DrivePublished
from contracts.eligibility import EligibilityEvaluated, EligibilityFailed
from contracts.exports import ExportCompleted, ExportFailed
from contracts.jobs import KIND_OF, OWNER, Kind
from contracts.students import StudentEnrolled, StudentRecordRevised, StudentsImported
from contracts.users import PersonErased, UserCreated, UserDetailsRevised

# The events that end a job of each kind. Their data has the job's id as job_id, or as export_id for exports.
SUCCEEDED = {
    Kind.ELIGIBILITY: EligibilityEvaluated.TYPE,
    Kind.EXPORT: ExportCompleted.TYPE,
    Kind.CHECK: CheckAnswered.TYPE,
}
FAILED = {
    Kind.ELIGIBILITY: EligibilityFailed.TYPE,
    Kind.EXPORT: ExportFailed.TYPE,
    Kind.CHECK: CheckFailed.TYPE,
}

SUMMARY = """
SELECT count(*) AS checked, count(fault) AS wrong,
       coalesce((array_agg(subject || ': ' || fault) FILTER (WHERE fault IS NOT NULL))[:$1], '{{}}') AS faults
  FROM ({query}) AS found
"""

# `recorded` and `ledger` return (subject, count, digest): as events record them, and as computed from the rows.
CHECKSUMS = """
WITH recorded AS ({recorded}), ledger AS ({ledger})
SELECT subject, CASE
           WHEN s.count IS NULL THEN format('%s rows (digest %s) that no event records', l.count, l.digest)
           WHEN l.count IS NULL AND s.count = 0 AND s.digest = '0' THEN NULL
           WHEN (s.count, s.digest) IS DISTINCT FROM (l.count, l.digest) THEN
                format('the event records %s rows (digest %s), the ledger holds %s (digest %s)',
                       s.count, s.digest, coalesce(l.count, 0), coalesce(l.digest, '0'))
       END AS fault
  FROM recorded s FULL JOIN ledger l USING (subject)
"""

EVALUATED = f"""
SELECT format('drive %s at version %s', data ->> 'drive_id', data ->> 'drive_version') AS subject,
       (data -> '{{part}}' ->> 'count')::bigint AS count, data -> '{{part}}' ->> 'digest' AS digest
  FROM es.event WHERE type = '{EligibilityEvaluated.TYPE}'
"""  # noqa: S608
SELECTIONS = """
SELECT format('drive %s at version %s', drive_id, {version}) AS subject, count(*) AS count,
       bit_xor(hashint8extended(student_id, drive_id))::text AS digest
  FROM selections WHERE {version} IS NOT NULL GROUP BY drive_id, {version}
"""
NEWEST = f"""
SELECT DISTINCT ON (stream_id) format('drive %s', data ->> 'drive_id') AS subject,
       (data -> 'selected' ->> 'count')::bigint AS count, data -> 'selected' ->> 'digest' AS digest
  FROM es.event WHERE type = '{EligibilityEvaluated.TYPE}' ORDER BY stream_id, version DESC
"""  # noqa: S608
IN_FORCE = """
SELECT format('drive %s', drive_id) AS subject, count(*) AS count,
       bit_xor(hashint8extended(student_id, drive_id))::text AS digest
  FROM selections WHERE revoked_version IS NULL GROUP BY drive_id
"""
LISTED = f"""
SELECT format('drive %s at version %s', data ->> 'drive_id', version) AS subject,
       (data -> 'requested' ->> 'count')::bigint AS count, data -> 'requested' ->> 'digest' AS digest
  FROM es.event WHERE type = '{DrivePublished.TYPE}' AND data -> 'requested' <> 'null'
"""  # noqa: S608
LISTS = """
SELECT format('drive %s at version %s', drive_id, drive_version) AS subject, count(*) AS count,
       bit_xor(hashint8extended(student_id, drive_id))::text AS digest
  FROM requested_selection GROUP BY drive_id, drive_version
"""
IMPORTED = f"""
SELECT event_id::text AS subject, (data ->> 'count')::bigint AS count, data ->> 'digest' AS digest
  FROM es.event WHERE type = '{StudentsImported.TYPE}'
"""  # noqa: S608
ENROLLED = f"""
SELECT cause AS subject, count(*) AS count, bit_xor(hashint8extended(student_id, seed))::text AS digest
  FROM (SELECT metadata ->> 'causation_id' AS cause, (data ->> 'student_id')::bigint AS student_id, 0 AS seed
          FROM es.event WHERE type = '{StudentEnrolled.TYPE}' AND metadata ? 'causation_id'
        UNION ALL
        SELECT DISTINCT metadata ->> 'causation_id', coalesce(data ->> 'student_id', data ->> 'user_id')::bigint, 1
          FROM es.event
         WHERE type IN ('{StudentRecordRevised.TYPE}', '{UserDetailsRevised.TYPE}') AND metadata ? 'causation_id'
       ) AS imported
 GROUP BY 1
"""  # noqa: S608

# The vault must hold exactly those versions of a person to which events refer, but none of an erased person.
PEOPLE = f"""
SELECT format('version %s of person %s', version, person_id) AS subject, CASE
           WHEN gone.found AND kept.found THEN 'the person was erased, but the vault holds it'
           WHEN gone.found THEN NULL
           WHEN kept.found IS NULL THEN 'an event refers to it, but the vault does not hold it'
           WHEN logged.found IS NULL THEN 'the vault holds it, but no event refers to it'
       END AS fault
  FROM (SELECT DISTINCT coalesce(data ->> 'student_id', data ->> 'user_id')::integer AS person_id,
               (data ->> 'person_version')::integer AS version, true AS found
          FROM es.event
         WHERE type IN ('{UserCreated.TYPE}', '{UserDetailsRevised.TYPE}', '{StudentEnrolled.TYPE}')) logged
  FULL JOIN (SELECT person_id, version, true AS found FROM vault.person) kept USING (person_id, version)
  LEFT JOIN (SELECT (data ->> 'person_id')::integer AS person_id, true AS found
               FROM es.event WHERE type = '{PersonErased.TYPE}') gone USING (person_id)
"""  # noqa: S608

# Each erasure must have a row in vault.erasure: exports count these rows to notice an erasure while they run.
ERASURES = f"""
SELECT format('person %s', person_id) AS subject, CASE
           WHEN noted.found IS NULL THEN 'was erased, but vault.erasure has no row of it'
           WHEN logged.found IS NULL THEN 'is in vault.erasure, but no event says so'
       END AS fault
  FROM (SELECT (data ->> 'person_id')::integer AS person_id, true AS found
          FROM es.event WHERE type = '{PersonErased.TYPE}') logged
  FULL JOIN (SELECT person_id, true AS found FROM vault.erasure) noted USING (person_id)
"""  # noqa: S608

# Merge join of two index scans: event_stream_version and stream_pkey.
STREAMS = """
SELECT stream_id AS subject, CASE
           WHEN s.version IS NULL THEN format('%s events, but no head', e.count)
           WHEN e.count IS NULL THEN format('its head is at version %s, but it has no events', s.version)
           WHEN s.version <> e.last THEN format('its head is at version %s, its last event at %s', s.version, e.last)
           WHEN e.first <> 1 OR e.count <> e.last
           THEN format('%s events up to version %s: there is a gap', e.count, e.last)
           WHEN s.stream_type <> split_part(stream_id, '-', 1) THEN format('its head says it is a %s', s.stream_type)
       END AS fault
  FROM es.stream s
  FULL JOIN (SELECT stream_id, count(*) AS count, min(version) AS first, max(version) AS last
               FROM es.event GROUP BY stream_id) e USING (stream_id)
"""

_KINDS = ", ".join(f"('{type_}', '{kind}', '{OWNER[kind]}')" for type_, kind in KIND_OF.items())
_RESULT_TYPES = ", ".join(f"'{type_}'" for type_ in (*SUCCEEDED.values(), *FAILED.values()))
_DONE_TYPES = ", ".join(f"'{type_}'" for type_ in SUCCEEDED.values())
_KINDS_WITH_RESULTS = ", ".join(f"'{kind}'" for kind in SUCCEEDED)

# Maintenance deletes old jobs and records up to which time. Jobs that were requested later must exist.
WORK = f"""
WITH requested AS (
    SELECT e.event_id AS id, e.stream_id, e.recorded_at, k.kind, k.service
      FROM es.event e JOIN (VALUES {_KINDS}) AS k (type, kind, service) USING (type)
)
SELECT 'job ' || id AS subject, CASE
           WHEN a.kind IS NULL THEN 'no event asks for it'
           WHEN j.kind IS NULL AND (a.recorded_at <= (SELECT until FROM expiry WHERE what = 'jobs')) IS NOT TRUE
           THEN format('%s asks for it, but there is no such job', a.stream_id)
           WHEN (j.kind, j.service, j.subject) <> (a.kind, a.service, a.stream_id)
           THEN format('it is %s''s %s of %s, but the event asks for %s''s %s of %s',
                       j.service, j.kind, j.subject, a.service, a.kind, a.stream_id)
       END AS fault
  FROM requested a FULL JOIN es.job j USING (id)
"""  # noqa: S608
RESULTS = f"""
WITH results AS (
    SELECT coalesce(data ->> 'job_id', data ->> 'export_id')::uuid AS id,
           count(*) FILTER (WHERE type IN ({_DONE_TYPES})) AS done,
           count(*) FILTER (WHERE type NOT IN ({_DONE_TYPES})) AS failed
      FROM es.event WHERE type IN ({_RESULT_TYPES}) GROUP BY 1
)
SELECT 'job ' || id AS subject, CASE
           WHEN r.done > 1 THEN format('%s results', r.done)
           WHEN j.state = 'succeeded' AND coalesce(r.done, 0) = 0 AND j.result @> '{{"superseded": true}}' IS NOT TRUE
           THEN 'it succeeded, but no event holds its result'
           WHEN j.state <> 'succeeded' AND r.done > 0 THEN format('there is a result, but it is %s', j.state)
           WHEN j.state = 'failed' AND coalesce(r.failed, 0) = 0 THEN 'it failed, but no event says so'
       END AS fault
  FROM (SELECT * FROM es.job WHERE kind IN ({_KINDS_WITH_RESULTS})) j FULL JOIN results r USING (id)
"""  # noqa: S608


def _checksums(recorded: str, ledger: str) -> str:
    return CHECKSUMS.format(recorded=recorded, ledger=ledger)


CHECKS = {
    "students selected": _checksums(EVALUATED.format(part="added"), SELECTIONS.format(version="selected_version")),
    "selections revoked": _checksums(EVALUATED.format(part="revoked"), SELECTIONS.format(version="revoked_version")),
    "selections in force": _checksums(NEWEST, IN_FORCE),
    "lists of publications": _checksums(LISTED, LISTS),
    "imports": _checksums(IMPORTED, ENROLLED),
    "people": PEOPLE,
    "erasures": ERASURES,
    "streams": STREAMS,
    "work asked for": WORK,
    "results of jobs": RESULTS,
}


@dataclass(frozen=True, slots=True)
class CheckFindings:
    """The result of a check. ``checked``: how many subjects were checked. ``wrong``: how many of them are faulty.

    ``faults``: the first faults.
    """

    name: str
    checked: int
    wrong: int
    faults: tuple[str, ...]


async def check(connection: Connection, name: str, *, limit: int) -> CheckFindings:
    """Run the check ``name`` of ``CHECKS`` in the current transaction of ``connection``."""
    row = await connection.fetchrow(SUMMARY.format(query=CHECKS[name]), limit)
    assert row is not None
    return CheckFindings(name, row["checked"], row["wrong"], tuple(sorted(row["faults"])))
