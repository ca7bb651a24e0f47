"""Check that each accepted job has succeeded with one result, and that there are no other jobs."""

from collections import Counter

import asyncpg

from contracts.maintenance import RefreshCause
from tests.chaos.findings import Findings
from tests.chaos.ledger import Ledger

Owner = asyncpg.Connection

# caused_by: the type of the event that requested the job, if no caller requested it.
JOBS = """
SELECT j.id::text, j.kind, j.channel, j.state, j.error, j.subject, e.type, e.data ->> 'cause' AS cause,
       c.event_id::text AS caused_by_id, c.type AS caused_by, j.result ? 'superseded' AS superseded
  FROM es.job j LEFT JOIN es.event e ON e.event_id = j.id
       LEFT JOIN es.event c ON c.event_id = (e.metadata ->> 'causation_id')::uuid
"""
# A job has no result event if it was superseded, or if the run of another job completed it.
RESULTS = """
SELECT j.id::text, j.kind, count(e.event_id) AS events,
       coalesce(j.result ? 'superseded' OR j.result ? 'absorbed_by', false) AS answered_by_another
  FROM es.job j LEFT JOIN es.event e ON e.metadata ->> 'causation_id' = j.id::text AND e.type = ANY ($1)
 GROUP BY j.id
"""
RESULT_TYPES = [
    "placewire.eligibility.evaluated.v1",
    "placewire.export.completed.v1",
    "placewire.refresh.refreshed.v1",
]
# Evaluations that were recorded although all students had already been evaluated for the same or a newer version.
OVERTAKEN_AND_DONE = """
SELECT stream_id, drive_version, newest
  FROM (SELECT stream_id, drive_version,
               max(drive_version) FILTER (WHERE of_everyone) OVER (
                   PARTITION BY stream_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
          FROM (SELECT stream_id, version, (data ->> 'drive_version')::bigint AS drive_version,
                       data ->> 'students' IS NULL AS of_everyone
                  FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1') AS each) AS evaluation
 WHERE drive_version <= newest
"""
OF_THE_CLOCK = (RefreshCause.SCHEDULE, RefreshCause.CHANGE)


async def audit_jobs(ledger: Ledger, owner: "Owner[asyncpg.Record]", found: Findings) -> None:
    jobs = {row["id"]: row for row in await owner.fetch(JOBS)}
    accepted = ledger.job_ids
    found.lost += [f"job {id_}" for id_ in accepted - jobs.keys()]
    for id_, row in jobs.items():
        found.channels[row["kind"], row["channel"] or "none"] += 1
        found.superseded += bool(row["superseded"])
        if row["state"] != "succeeded":
            found.lost.append(f"{row['kind']} job {id_} is {row['state']} ({row['error']})")
        if id_ not in accepted and not _is_internal(row):
            found.doubled.append(f"{row['kind']} job {id_}, which nobody asked for")
    # A change of marks makes each drive evaluate the student once. Another check covers the ledger of selections.
    causes = Counter(f"{row['subject']} because of {row['caused_by_id']}" for row in jobs.values() if row["caused_by"])
    found.doubled += [f"reevaluation of {name}" for name, times in causes.items() if times > 1]
    for row in await owner.fetch(RESULTS, RESULT_TYPES):
        expected = 0 if row["answered_by_another"] else 1
        if row["events"] != expected:
            findings = found.lost if row["events"] < expected else found.doubled
            findings.append(f"{row['kind']} job {row['id']} has {row['events']} results instead of {expected}")
    for row in await owner.fetch(OVERTAKEN_AND_DONE):
        found.wrong.append(f"{row['stream_id']}: {row['drive_version']} was done after {row['newest']}")


def _is_internal(row: asyncpg.Record) -> bool:
    """Return whether the clock or a change of a student's marks requested the job."""
    if row["type"] == "placewire.refresh.requested.v1":
        return row["cause"] in OF_THE_CLOCK
    reevaluates = row["type"] == "placewire.drive.reevaluation-requested.v1"
    return bool(reevaluates and row["caused_by"] == "placewire.student.record-revised.v1")
