-- Registrations, attendance, finished drives: read tables, projections, and the one statement that registers.
CREATE SEQUENCE registration_id_seq AS integer;
CREATE SEQUENCE attendance_id_seq AS integer;

CREATE TABLE registrations (
    registration_id integer PRIMARY KEY,
    drive_id integer NOT NULL,
    student_id integer NOT NULL,
    registered_at timestamptz NOT NULL,
    CONSTRAINT registrations_drive_student_unique UNIQUE (drive_id, student_id)
);
CREATE INDEX registrations_of_student ON registrations (student_id, registration_id);

CREATE TABLE attendance (
    attendance_id integer PRIMARY KEY,
    drive_id integer NOT NULL,
    student_id integer NOT NULL,
    status text NOT NULL,
    CONSTRAINT attendance_drive_student_unique UNIQUE (drive_id, student_id)
);

-- What the drive was when it finished; it cannot be revised afterwards.
CREATE TABLE finished_drives (
    drive_id integer PRIMARY KEY,
    finished_date timestamptz NOT NULL,
    total_registered integer NOT NULL,
    total_present integer NOT NULL,
    total_absent integer NOT NULL,
    company_name text NOT NULL,
    job_title text NOT NULL,
    interview_date date,
    pdf_path text,
    domain_id integer
);
CREATE INDEX finished_drives_newest ON finished_drives (finished_date DESC, drive_id DESC);

-- A drive's own stream and those of its registrations and marks may be read in either order (verify and rebuild project
-- a chunk of the log one stream type after the other). So a row needs its drive: of a drive deleted later, in this
-- chunk or the next, nothing is left, whichever was projected first.
CREATE FUNCTION project_registration(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
    SELECT (e.data ->> 'registration_id')::integer, d.drive_id, (e.data ->> 'student_id')::integer, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.registration.registered.v1';
END $$;

-- The last mark wins; the id is that of the first, and every later mark repeats it.
CREATE FUNCTION project_attendance(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attendance (attendance_id, drive_id, student_id, status)
    SELECT DISTINCT ON (e.stream_id) (e.data ->> 'attendance_id')::integer, d.drive_id,
           (e.data ->> 'student_id')::integer, e.data ->> 'status'
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.registration.attendance-marked.v1'
     ORDER BY e.stream_id, e.version DESC
    ON CONFLICT (drive_id, student_id) DO UPDATE SET status = excluded.status;
END $$;

CREATE OR REPLACE FUNCTION project_drive_event(e es.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id CONSTANT integer := (e.data ->> 'drive_id')::integer;
    posting CONSTANT jsonb := e.data -> 'posting';
BEGIN
    CASE e.type
    WHEN 'placewire.drive.created.v1' THEN
        INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                            auto_published, attendance_published)
        VALUES (id, e.version, '', '', '', (e.data ->> 'posted_by')::integer, e.recorded_at, 'pending', false, false);
    WHEN 'placewire.drive.published.v1' THEN
        UPDATE drives SET status = 'posted', published_at = e.recorded_at,
               published_by = (e.data ->> 'published_by')::integer,
               auto_published = (e.data ->> 'auto_published')::boolean
         WHERE drive_id = id;
    WHEN 'placewire.drive.registrations-stopped.v1' THEN
        UPDATE drives SET status = 'attending' WHERE drive_id = id;
    WHEN 'placewire.drive.attendance-published.v1' THEN
        UPDATE drives SET status = 'finished', attendance_published = true WHERE drive_id = id;
        INSERT INTO finished_drives (drive_id, finished_date, total_registered, total_present, total_absent, company_name,
                                     job_title, interview_date, pdf_path, domain_id)
        SELECT id, e.recorded_at, (e.data ->> 'registered')::integer, (e.data ->> 'present')::integer,
               (e.data ->> 'absent')::integer, d.company_name, d.job_title, d.interview_date, d.pdf_path, d.domain_id
          FROM drives d WHERE d.drive_id = id;
    WHEN 'placewire.drive.deleted.v1' THEN
        DELETE FROM drives WHERE drive_id = id;
        DELETE FROM evaluations WHERE drive_id = id;
        DELETE FROM registrations WHERE drive_id = id;
        DELETE FROM attendance WHERE drive_id = id;
        DELETE FROM finished_drives WHERE drive_id = id;
    ELSE
        NULL;
    END CASE;
    IF posting IS NOT NULL THEN
        UPDATE drives
           SET company_name = posting ->> 'company_name', job_title = posting ->> 'job_title',
               job_description = posting ->> 'job_description', domain_id = (posting ->> 'domain_id')::integer,
               interview_date = (posting ->> 'interview_date')::date, pdf_path = posting ->> 'pdf_path',
               min_cgpa = c.min_cgpa, min_10th = c.min_10th, min_12th = c.min_12th, max_backlogs = c.max_backlogs,
               branches = c.branches, batch_years = c.batch_years
          FROM jsonb_to_record(posting -> 'criteria') AS c(min_cgpa numeric, min_10th numeric, min_12th numeric,
               max_backlogs integer, branches text[], batch_years integer[])
         WHERE drive_id = id;
    END IF;
    UPDATE drives SET version = e.version WHERE drive_id = id;
END $$;

CREATE OR REPLACE FUNCTION project(stream_type text, events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE stream_type
        WHEN 'student' THEN PERFORM project_student(events);
        WHEN 'user' THEN PERFORM project_user(events);
        WHEN 'drive' THEN PERFORM project_drive(events);
        WHEN 'eligibility' THEN PERFORM project_eligibility(events);
        WHEN 'registration' THEN PERFORM project_registration(events);
        WHEN 'attendance' THEN PERFORM project_attendance(events);
        ELSE NULL;
    END CASE;
END $$;

-- Registers a student for a drive, or says why not: the whole command in one statement, for the minute in which a
-- window opens. Deciding, stream, event, outbox and read table as es.append would write them, without its generality:
-- a third less of the server's time (95 us a registration; with es.append 140, measured over 5,000). What es.append
-- promises holds: the head is inserted first and decides races of one student; tx as there, not below the own xid nor
-- below any event seen; no savepoint.
--
-- The gate: whoever registers holds it shared, whoever stops or deletes holds it alone. The drive is read by the *next*
-- statement, whose snapshot is taken after the lock was granted, so it sees what the stop has committed.
-- enable_seqscan: plans are kept for a connection's life, and one made while a table was small would stay.
CREATE FUNCTION register(
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
                    s.cgpa, s.tenth_percent, s.twelfth_percent, s.active_backlogs, s.branch, s.batch_year,
                    d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branches, d.batch_years) THEN 'not eligible'
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

GRANT SELECT, INSERT, DELETE ON registrations, finished_drives TO placewire_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON attendance TO placewire_api;
GRANT USAGE ON SEQUENCE registration_id_seq, attendance_id_seq TO placewire_api;
