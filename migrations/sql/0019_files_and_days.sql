-- Whether a spreadsheet program could read the text of a cell as a formula. It starts with = + - @ or one of their
-- wide, small or typographic forms, after any number of spaces, quotes, control characters and invisible
-- characters; or with a tab or line end. Every CSV and XLSX file prefixes such text with an apostrophe. All services
-- use this one rule. Source: OWASP, CSV Injection.
-- Inlined by the planner. Most text starts with an ASCII letter or digit, which one lookup in a hashed list decides.
CREATE FUNCTION looks_like_formula(cell text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ascii(cell) IN (
                    48,49,50,51,52,53,54,55,56,57,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,
                    97,98,99,100,101,102,103,104,105,106,107,108,109,110,111,112,113,114,115,116,117,118,119,120,121,122) THEN false
                ELSE cell ~ ('^(?:[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]*[\t\n\r]|[\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5'
                          || '\u180b-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0'
                          || '\ufff9-\uffff"''`\u00ab\u00bb\u00b4\u2018-\u201f\u2032-\u2037\u2039\u203a\uff02\uff07\uff40]*'
                          || '[=+@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212-])') END
$$;

-- Deleted drives are few. Each registration for one is found by its stream (GET /api/registrations/mine).
-- For all other events the index checks only the type.
CREATE INDEX event_drive_deleted ON es.event (stream_id) WHERE type = 'placewire.drive.deleted.v1';

-- As before, with the outcome that registration for the drive is closed.
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
               WHEN d.status IN ('attending', 'finished') THEN 'closed'
               WHEN d.status <> 'posted' THEN 'not posted'
               WHEN s.student_id IS NULL OR NOT s.active OR NOT meets_criteria(
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

-- Days depend on the campus's time zone (setting TZ), so views hold timestamps, and the API computes the days.
DROP MATERIALIZED VIEW drives_over_time, attendance_trend;
CREATE MATERIALIZED VIEW drives_over_time AS
SELECT drive_id, created_at, status FROM drives;
CREATE UNIQUE INDEX drives_over_time_drive ON drives_over_time (drive_id);

CREATE MATERIALIZED VIEW attendance_trend AS
SELECT d.drive_id, d.created_at, a.present, a.absent
  FROM drives d
  JOIN (SELECT drive_id, count(*) FILTER (WHERE status = 'PRESENT')::integer AS present,
               count(*) FILTER (WHERE status = 'ABSENT')::integer AS absent
          FROM attendance GROUP BY drive_id) a USING (drive_id);
CREATE UNIQUE INDEX attendance_trend_drive ON attendance_trend (drive_id);

GRANT SELECT, MAINTAIN ON drives_over_time, attendance_trend TO placewire_maintenance;
GRANT SELECT ON drives_over_time, attendance_trend TO placewire_api;
