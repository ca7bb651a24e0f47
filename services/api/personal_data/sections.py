"""SQL statements that read what is stored about a person, one per section. ``$1``: the person's id.

For tokens, links and keys they return only ids and times, no secrets or hashes. Plans (EXPLAIN): most tables have an
index that begins with the person. Selections and lists need one probe of their primary key per drive. ``drives`` is
scanned.
"""

from dataclasses import dataclass

from contracts.drives import DriveDeleted
from contracts.students import StudentEnrolled
from contracts.users import Role
from services.api.http.long_lists import instant

KEYS_KEPT, ACCESS_LOG_KEPT = "keys_kept", "access_log_kept"


@dataclass(frozen=True, slots=True)
class Section:
    """``name``: the key in the JSON. ``title``, ``about``: text of the page. ``single``: at most one row, not a list.

    ``parameter``: the name of the retention time that is passed as ``$2``.
    """

    name: str
    title: str
    about: str
    query: str
    single: bool = False
    parameter: str | None = None


def _texts(table: str, *columns: str) -> str:
    """Return a SELECT list that casts decimals to text, as all responses do. ``table``: a prefix, such as ``r.``."""
    return ", ".join(f"{table}{column}::text AS {column}" for column in columns)


MARKS = ("tenth_percent", "twelfth_percent", "diploma_percent", "cgpa")
# The drive ids in a table, with one probe of its primary key per drive. ``selections`` has no index by student.
DRIVES_OF = """
WITH RECURSIVE each (drive_id) AS (
    SELECT min(drive_id) FROM {table}
    UNION ALL
    SELECT (SELECT min(later.drive_id) FROM {table} later WHERE later.drive_id > each.drive_id) FROM each
     WHERE each.drive_id IS NOT NULL
)
"""
# The newest recorded name of a drive. Works for deleted drives too.
DRIVE_NAME = f"drive_name_at({{drive_id}}, {2**31 - 1})"
READER = "l.reader_id, l.reader_role, (SELECT u.name FROM users u WHERE u.user_id = l.reader_id) AS reader_name"

ACCOUNT = f"""
SELECT user_id, name, email, role, department, active, {instant("created_at")} AS created_at,
       {instant("access_changed_at")} AS access_changed_at FROM users WHERE user_id = $1
"""  # noqa: S608
DETAILS = f"""
SELECT version, name, email, roll_number, {instant("recorded_at")} AS recorded_at
  FROM vault.person WHERE person_id = $1 ORDER BY version
"""  # noqa: S608
PASSWORD = f"SELECT {instant('changed_at')} AS changed_at FROM credentials WHERE user_id = $1"  # noqa: S608
PASSWORD_LINK = f"""
SELECT {instant("created_at")} AS created_at, {instant("expires_at")} AS expires_at, {instant("used_at")} AS used_at
  FROM password_links WHERE user_id = $1
"""  # noqa: S608
ACCOUNT_HISTORY = f"""
SELECT {instant("recorded_at")} AS at, split_part(type, '.', 3) AS change, data -> 'changed' AS changed,
       data ->> 'role' AS role, (metadata ->> 'actor_id')::integer AS by
  FROM es.event WHERE stream_id = 'user-' || $1::integer ORDER BY version
"""  # noqa: S608
RECORD = f"""
SELECT roll_number, branch, batch_year, {_texts("", *MARKS)}, active_backlogs FROM students WHERE student_id = $1
"""  # noqa: S608
RECORD_HISTORY = f"""
SELECT {instant("recorded_at")} AS at, type = '{StudentEnrolled.TYPE}' AS enrolled, data -> 'changed' AS changed,
       data -> 'record' AS record, (metadata ->> 'actor_id')::integer AS by
  FROM es.event WHERE stream_id = 'student-' || $1::integer ORDER BY version
"""  # noqa: S608
REGISTRATIONS = f"""
SELECT r.registration_id, r.drive_id, {DRIVE_NAME.format(drive_id="r.drive_id")} AS drive,
       {instant("r.registered_at")} AS registered_at, a.status AS attendance
  FROM registrations r LEFT JOIN attendance a USING (drive_id, student_id)
 WHERE r.student_id = $1 ORDER BY r.registration_id
"""  # noqa: S608
DELETED_REGISTRATIONS = f"""
SELECT (r.data ->> 'registration_id')::integer AS registration_id, (d.data ->> 'drive_id')::integer AS drive_id,
       {DRIVE_NAME.format(drive_id="(d.data ->> 'drive_id')::integer")} AS drive,
       {instant("r.recorded_at")} AS registered_at, {instant("d.recorded_at")} AS drive_deleted_at,
       (SELECT m.data ->> 'status' FROM es.event m
         WHERE m.stream_id = format('attendance-%s-%s', d.data ->> 'drive_id', $1::integer)
         ORDER BY m.version DESC LIMIT 1) AS attendance
  FROM es.event d
  JOIN es.event r ON r.stream_id = format('registration-%s-%s', d.data ->> 'drive_id', $1::integer) AND r.version = 1
 WHERE d.type = '{DriveDeleted.TYPE}' ORDER BY 1
"""  # noqa: S608
DECISIONS = f"""
{DRIVES_OF.format(table="selections")}
SELECT s.drive_id, {DRIVE_NAME.format(drive_id="s.drive_id")} AS drive, {instant("s.selected_at")} AS selected_at,
       {instant("s.revoked_at")} AS revoked_at
  FROM each JOIN selections s ON s.drive_id = each.drive_id AND s.student_id = $1
 ORDER BY s.drive_id, s.selected_version
"""  # noqa: S608
LISTED = f"""
WITH RECURSIVE each (drive_id, drive_version) AS (
    (SELECT drive_id, drive_version FROM requested_selection ORDER BY drive_id, drive_version LIMIT 1)
    UNION ALL
    SELECT later.* FROM each CROSS JOIN LATERAL (
           SELECT n.drive_id, n.drive_version FROM requested_selection n
            WHERE (n.drive_id, n.drive_version) > (each.drive_id, each.drive_version)
            ORDER BY n.drive_id, n.drive_version LIMIT 1) later
)
SELECT l.drive_id, {DRIVE_NAME.format(drive_id="l.drive_id")} AS drive, {instant("p.recorded_at")} AS published_at
  FROM each JOIN requested_selection l USING (drive_id, drive_version)
  JOIN es.event p ON p.stream_id = 'drive-' || l.drive_id AND p.version = l.drive_version
 WHERE l.student_id = $1 ORDER BY l.drive_id, l.drive_version
"""  # noqa: S608
KEPT_ANSWERS = f"""
SELECT route, {instant("created_at")} AS kept_since,
       CASE WHEN NOT expired THEN {instant("(created_at + $2::interval)")} END AS expires_at
  FROM idempotency_keys WHERE user_id = $1 ORDER BY created_at, route, key
"""  # noqa: S608
JOBS = f"""
SELECT id AS job_id, kind, subject, state, {instant("queued_at")} AS queued_at, {instant("finished_at")} AS finished_at
  FROM es.job WHERE requested_by = $1 ORDER BY -seq DESC
"""  # noqa: S608
EXPORTS = f"""
SELECT export_id, kind, format, drive_id, state, {instant("requested_at")} AS requested_at,
       {instant("expires_at")} AS expires_at
  FROM exports WHERE requested_by = $1 ORDER BY requested_at, export_id
"""  # noqa: S608
DRIVES = f"""
SELECT drive_id, company_name || ' - ' || job_title AS drive, posted_by = $1 AS created,
       coalesce(published_by = $1, false) AS published, {instant("created_at")} AS created_at
  FROM drives WHERE posted_by = $1 OR published_by = $1 ORDER BY drive_id
"""  # noqa: S608
ACCESSES = f"""
SELECT {instant("l.at")} AS at, l.operation, {READER}, l.correlation_id
  FROM access_log l WHERE l.student_id = $1 AND l.at > clock_timestamp() - $2::interval ORDER BY l.at
"""  # noqa: S608
LIST_ACCESSES = f"""
SELECT l.operation, {READER}, count(*) AS times, {instant("min(l.at)")} AS first_at, {instant("max(l.at)")} AS last_at
  FROM access_log l
 WHERE l.student_id IS NULL AND l.reader_id <> $1 AND l.at > clock_timestamp() - $2::interval
   AND EXISTS (SELECT FROM users u WHERE u.user_id = $1 AND u.role = '{Role.STUDENT}' AND l.at >= u.created_at)
 GROUP BY l.operation, l.reader_id, l.reader_role ORDER BY l.operation, l.reader_id, l.reader_role
"""  # noqa: S608
OWN_ACCESSES = f"""
SELECT {instant("at")} AS at, operation, student_id, correlation_id
  FROM access_log WHERE reader_id = $1 AND at > clock_timestamp() - $2::interval ORDER BY at
"""  # noqa: S608
