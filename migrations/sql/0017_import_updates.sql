-- A student's diploma mark, one identity for each roll number, and imports that update known students.

-- A long query on students must not make all other processes wait: the migration fails and is repeated (0014).
SET LOCAL lock_timeout = '3s';
LOCK TABLE students IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = DEFAULT;

-- A drive's branches and a student's are written by different people: "CSE" and " cse " are one branch. They are compared by
-- this key: lower case (one Greek sigma), NFC, trimmed, with single spaces inside. The Python twin is contracts/branches.py; a
-- property test holds them together. Nearly every branch is ASCII without spaces to remove, which costs a fifth of the others.
-- RETURN, not a text: a refresh of a view that calls them has a search path without public.
CREATE FUNCTION branch_key(branch text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN branch ~ '^[!-~]+( [!-~]+)*$' COLLATE "C" THEN lower(branch COLLATE "C") ELSE
           replace(lower(normalize(btrim(regexp_replace(translate(
               branch,
               E'\x09\x0a\x0b\x0c\x0d\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006'
               '\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
               repeat(' ', 28)), ' +', ' ', 'g')), NFC)), 'ς', 'σ') END;

CREATE FUNCTION branch_keys(branches text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN branches IS NOT NULL THEN array(SELECT branch_key(one) FROM unnest(branches) AS one) END;

-- Stored, so that comparing branches costs no more than comparing two texts: a drive is compared with all students.
ALTER TABLE students ADD COLUMN diploma_percent numeric(5, 2),
                     ADD COLUMN branch_key text GENERATED ALWAYS AS (branch_key(branch)) STORED;
ALTER TABLE drives ADD COLUMN branch_keys text[] GENERATED ALWAYS AS (branch_keys(branches)) STORED;

-- As in 0016, and ten times as fast for ASCII text, which has only one Unicode form. Not
-- STRICT, which would keep the planner from inlining it.
CREATE OR REPLACE FUNCTION identity_key(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN octet_length($1) = length($1) THEN lower(btrim($1) COLLATE pg_c_utf8)
                ELSE lower(normalize(btrim($1), NFC) COLLATE pg_c_utf8) END;

-- Two roll numbers that differ only in case, outer spaces or Unicode form are the same (identity_key: 0016).
-- Before this release they could belong to two students. Those must be corrected first, so the migration names them.
DO $$
DECLARE
    twins text;
BEGIN
    SELECT string_agg(numbers, '; ') INTO twins
      FROM (SELECT string_agg(format('%s (student %s)', roll_number, student_id), ', ' ORDER BY student_id) AS numbers
              FROM students GROUP BY identity_key(roll_number) HAVING count(*) > 1 LIMIT 20) AS found;
    IF twins IS NOT NULL THEN
        RAISE EXCEPTION 'these roll numbers are the same but for case, spaces or Unicode form: %', twins
        USING HINT = 'Correct them with PATCH /api/students/{id}, then migrate again.';
    END IF;
END $$;
CREATE UNIQUE INDEX students_roll_number_identity ON students (identity_key(roll_number));
ALTER TABLE students DROP CONSTRAINT students_roll_number_unique;

-- The rule that a diploma counts as the 12th mark of a student who has no 12th mark stands here alone. Branches are given by
-- their keys. Inlined. The Python twin is services/api/eligibility/rules.py.
-- RETURN, not a text: a refresh of a view that calls it has a search path without public.
CREATE FUNCTION meets_criteria(
    cgpa numeric, tenth numeric, twelfth numeric, diploma numeric, backlogs integer, branch_key text, batch_year integer,
    min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer, branch_keys text[], batch_years integer[]
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN meets_criteria(cgpa, tenth, coalesce(twelfth, diploma), backlogs, branch_key, batch_year,
                          min_cgpa, min_10th, min_12th, max_backlogs, branch_keys, batch_years);

-- One chunk of events may have several revisions of a student: the last one counts.
CREATE OR REPLACE FUNCTION project_student(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, access_changed_at, created_at)
    SELECT (e.data ->> 'student_id')::integer, e.data ->> 'name', e.data ->> 'email', 'STUDENT', e.data ->> 'department',
           e.recorded_at, e.recorded_at
      FROM unnest(events) e WHERE e.type = 'placewire.student.enrolled.v1';

    INSERT INTO students (student_id, roll_number, branch, batch_year, tenth_percent, twelfth_percent, diploma_percent,
                          cgpa, active_backlogs)
    SELECT (e.data ->> 'student_id')::integer, r.roll_number, r.branch, r.batch_year, r.tenth_percent, r.twelfth_percent,
           r.diploma_percent, r.cgpa, r.active_backlogs
      FROM unnest(events) e, jsonb_to_record(e.data -> 'record') AS r(roll_number text, branch text, batch_year integer,
           tenth_percent numeric, twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE e.type = 'placewire.student.enrolled.v1';

    UPDATE students s
       SET roll_number = r.roll_number, branch = r.branch, batch_year = r.batch_year, tenth_percent = r.tenth_percent,
           twelfth_percent = r.twelfth_percent, diploma_percent = r.diploma_percent, cgpa = r.cgpa,
           active_backlogs = r.active_backlogs
      FROM (SELECT DISTINCT ON (stream_id) data FROM unnest(events)
             WHERE type = 'placewire.student.record-revised.v1' ORDER BY stream_id, version DESC) e,
           jsonb_to_record(e.data -> 'record') AS r(roll_number text, branch text, batch_year integer,
           tenth_percent numeric, twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE s.student_id = (e.data ->> 'student_id')::integer;
END $$;

-- As in 0002, with the diploma mark.
CREATE OR REPLACE FUNCTION register(
    p_drive integer, p_student integer, p_event_id uuid, p_metadata jsonb,
    OUT outcome text, OUT registration_id integer, OUT registered_at timestamptz
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    me CONSTANT text := format('registration-%s-%s', p_drive, p_student);
    place xid8;
    appended es.event;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('registration:' || p_drive, 0));
    SELECT CASE
               WHEN d.status <> 'posted' THEN 'not posted'
               WHEN s.student_id IS NULL OR NOT meets_criteria(
                    s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs, s.branch_key,
                    s.batch_year, d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branch_keys, d.batch_years) THEN 'not eligible'
               WHEN NOT d.auto_published AND NOT EXISTS (
                    SELECT FROM selections c
                     WHERE c.drive_id = p_drive AND c.student_id = p_student AND c.revoked_version IS NULL)
               THEN 'not selected'
               ELSE 'registered'
           END
      INTO outcome
      FROM drives d LEFT JOIN students s ON s.student_id = p_student
     WHERE d.drive_id = p_drive;
    IF NOT FOUND THEN
        outcome := 'no drive';
    END IF;
    IF outcome <> 'registered' THEN
        RETURN;
    END IF;

    INSERT INTO es.stream AS s (stream_id, stream_type, version, last_tx)
    VALUES (me, 'registration', 1, greatest(pg_current_xact_id(),
            (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8))
    ON CONFLICT (stream_id) DO NOTHING RETURNING s.last_tx INTO place;
    IF NOT FOUND THEN
        outcome := 'registered already';
        RETURN;
    END IF;
    registration_id := nextval('registration_id_seq');
    INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
    VALUES (place, pg_current_xact_id(), me, 1, p_event_id, 'placewire.registration.registered.v1',
            jsonb_build_object('registration_id', registration_id, 'drive_id', p_drive, 'student_id', p_student), p_metadata)
    RETURNING (w).* INTO appended;
    registered_at := appended.recorded_at;
    PERFORM project_registration(ARRAY[appended]);
    INSERT INTO es.outbox (lane, topic, key, event_id) VALUES (1, 'placewire.registration', me, p_event_id);
END $$;

-- As in 0013, with the diploma mark.
CREATE OR REPLACE FUNCTION count_registered_no_longer_eligible(
    p_drive integer, p_version bigint, p_cgpa numeric, p_tenth numeric, p_twelfth numeric, p_backlogs integer,
    p_branches text[], p_batch_years integer[], p_anyone boolean, p_first integer, p_last integer
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('registration:' || p_drive, 0));
        RAISE EXCEPTION USING ERRCODE = 'ES003';
    EXCEPTION WHEN SQLSTATE 'ES003' THEN
        NULL;
    END;
    RETURN (
        SELECT count(*) FROM registrations r JOIN students s USING (student_id)
         WHERE r.drive_id = p_drive AND r.student_id BETWEEN p_first AND p_last
           AND NOT meets_criteria(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs,
                                  s.branch_key, s.batch_year, p_cgpa, p_tenth, p_twelfth, p_backlogs, p_branches, p_batch_years)
           AND (p_anyone OR EXISTS (
                SELECT FROM selections c
                 WHERE c.drive_id = p_drive AND c.student_id = r.student_id AND c.revoked_version = p_version)));
END $$;

-- As in 0004, with the diploma mark.
DROP MATERIALIZED VIEW branch_counts;
CREATE MATERIALIZED VIEW branch_counts AS
WITH asked AS MATERIALIZED (
    SELECT row_number() OVER () AS number, *
      FROM (SELECT DISTINCT min_cgpa, min_10th, min_12th, max_backlogs, branch_keys, batch_years
              FROM drives WHERE status <> 'pending') d
), looser AS MATERIALIZED (
    SELECT l.number, s.number AS than
      FROM asked l JOIN asked s
        ON l.number <> s.number
       AND (l.min_cgpa IS NULL OR s.min_cgpa >= l.min_cgpa) AND (l.min_10th IS NULL OR s.min_10th >= l.min_10th)
       AND (l.min_12th IS NULL OR s.min_12th >= l.min_12th)
       AND (l.max_backlogs IS NULL OR s.max_backlogs <= l.max_backlogs)
       AND (l.branch_keys IS NULL OR s.branch_keys <@ l.branch_keys)
       AND (l.batch_years IS NULL OR s.batch_years <@ l.batch_years)
), criteria AS MATERIALIZED (
    -- Two sets that are looser than each other are equal: the first is kept.
    SELECT * FROM asked a
     WHERE NOT EXISTS (
         SELECT FROM looser l
          WHERE l.than = a.number AND (l.number < a.number OR NOT EXISTS (
              SELECT FROM looser back WHERE back.number = a.number AND back.than = l.number)))
)
SELECT coalesce(s.branch, '') AS branch, count(*)::integer AS students,
       count(*) FILTER (WHERE s.active AND EXISTS (
           SELECT FROM criteria c
            WHERE meets_criteria(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs,
                                 s.branch_key, s.batch_year, c.min_cgpa, c.min_10th, c.min_12th, c.max_backlogs,
                                 c.branch_keys, c.batch_years)
       ))::integer AS eligible,
       count(r.student_id)::integer AS registered, count(p.student_id)::integer AS present
  FROM students s
  LEFT JOIN (SELECT DISTINCT student_id FROM registrations) r USING (student_id)
  LEFT JOIN (SELECT DISTINCT student_id FROM attendance WHERE status = 'PRESENT') p USING (student_id)
 GROUP BY 1;
CREATE UNIQUE INDEX branch_counts_branch ON branch_counts (branch);

GRANT SELECT, MAINTAIN ON branch_counts TO placewire_maintenance;
GRANT SELECT ON branch_counts TO placewire_api;
