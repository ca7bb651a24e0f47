"""Enrol many students with one statement. The rows and events are those of an import."""

import asyncpg

# Marks are evenly distributed, and some are missing. The same count gives the same marks. The vault is filled first,
# because the projection reads it.
ENROL = """
WITH student AS MATERIALIZED (
    SELECT nextval('user_id_seq')::integer AS id, i, clock_timestamp() AS at FROM generate_series(1, $1::integer) i
), head AS (
    INSERT INTO es.stream (stream_id, stream_type, version, last_tx)
    SELECT 'student-' || id, 'student', 1, es.log_xid() FROM student
), people AS (
    INSERT INTO vault.person (person_id, version, name, email, roll_number)
    SELECT id, 1, 'Student ' || i, 's' || id || '@college.edu', 'R' || id FROM student RETURNING person_id
), written AS (
    INSERT INTO es.event AS e (tx, xid, stream_id, version, event_id, type, data, metadata)
    SELECT es.log_xid(), es.log_xid(), 'student-' || id, 1, uuidv7(), 'placewire.student.enrolled.v1',
           jsonb_build_object('student_id', id, 'person_version', 1, 'department', NULL, 'record', jsonb_build_object(
               'branch', (ARRAY['CSE', 'ECE', 'ME'])[1 + i % 3], 'batch_year', 2026 + i % 2,
               'cgpa', CASE WHEN i % 17 > 0 THEN to_char((abs(hashint4(i)) % 1001) / 100.0, 'FM990.00') END,
               'tenth_percent', to_char((3000 + abs(hashint4(i + 1000000)) % 7001) / 100.0, 'FM990.00'),
               'twelfth_percent', to_char((3000 + abs(hashint4(i + 2000000)) % 7001) / 100.0, 'FM990.00'),
               'active_backlogs', abs(hashint4(i + 3000000)) % 3)),
           '{"source": "test", "correlation_id": "00000000-0000-7000-8000-000000000000"}'
      FROM student WHERE (SELECT count(*) FROM people) > 0
    RETURNING e
)
SELECT project('student', array_agg(e)) FROM written
"""
IDS = "SELECT student_id FROM students ORDER BY student_id"

# The eligibility rule of contract §3, written without meets_criteria.
PLAIN_COUNT = """
SELECT count(*) FROM students
 WHERE cgpa >= 6 AND tenth_percent >= 60 AND twelfth_percent >= 60 AND active_backlogs <= 0
"""
DRIVE = {
    "company_name": "Acme",
    "job_title": "SDE",
    "min_cgpa": "6",
    "min_10th": "60",
    "min_12th": "60",
    "max_backlogs": "0",
}


async def enrol(connection: "asyncpg.Connection[asyncpg.Record]", count: int) -> list[int]:
    """Enrol ``count`` students. Return the ids of all students."""
    await connection.execute(ENROL, count)
    await connection.execute("ANALYZE students")
    return [row["student_id"] for row in await connection.fetch(IDS)]
