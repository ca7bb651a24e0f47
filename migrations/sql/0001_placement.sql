-- Read tables, ledgers, and the one definition of each projection (used by es.append and by verify alike).
CREATE SEQUENCE user_id_seq AS integer;
CREATE SEQUENCE drive_id_seq AS integer;

CREATE TABLE users (
    user_id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    role text NOT NULL,
    department text,
    password_version integer NOT NULL DEFAULT 0,
    access_changed_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT users_email_unique UNIQUE (email)
);
CREATE INDEX users_access_changed ON users (access_changed_at);

CREATE TABLE credentials (
    user_id integer PRIMARY KEY,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE students (
    student_id integer PRIMARY KEY,
    roll_number text NOT NULL,
    branch text,
    batch_year integer,
    tenth_percent numeric(5, 2),
    twelfth_percent numeric(5, 2),
    cgpa numeric(4, 2),
    active_backlogs integer NOT NULL,
    CONSTRAINT students_roll_number_unique UNIQUE (roll_number)
);

CREATE TABLE job_domains (
    domain_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_name text NOT NULL,
    CONSTRAINT job_domains_name_unique UNIQUE (domain_name)
);

CREATE TABLE drives (
    drive_id integer PRIMARY KEY,
    version bigint NOT NULL,
    company_name text NOT NULL,
    job_title text NOT NULL,
    job_description text NOT NULL,
    domain_id integer,
    interview_date date,
    min_cgpa numeric(4, 2),
    min_10th numeric(5, 2),
    min_12th numeric(5, 2),
    max_backlogs integer,
    branches text[],
    batch_years integer[],
    pdf_path text,
    posted_by integer NOT NULL,
    created_at timestamptz NOT NULL,
    status text NOT NULL,
    auto_published boolean NOT NULL,
    published_at timestamptz,
    published_by integer,
    attendance_published boolean NOT NULL
);
CREATE INDEX drives_newest ON drives (created_at DESC, drive_id DESC);

CREATE TABLE evaluations (
    drive_id integer PRIMARY KEY,
    drive_version bigint NOT NULL,
    job_id uuid NOT NULL,
    applied boolean NOT NULL,
    eligible integer NOT NULL,
    selected integer NOT NULL,
    evaluated_at timestamptz NOT NULL
);

-- Ledgers: append-only, sealed by the event that wrote them. No foreign keys: two of them cost 2.7 times the insert.
-- selected_version and revoked_version are versions of the drive's stream.
CREATE TABLE selections (
    drive_id integer NOT NULL,
    student_id integer NOT NULL,
    selected_version bigint NOT NULL,
    selected_at timestamptz NOT NULL,
    revoked_version bigint,
    revoked_at timestamptz,
    PRIMARY KEY (drive_id, student_id, selected_version)
);

CREATE TABLE requested_selection (
    drive_id integer NOT NULL,
    drive_version bigint NOT NULL,
    student_id integer NOT NULL,
    PRIMARY KEY (drive_id, drive_version, student_id)
);

CREATE TABLE idempotency_keys (
    user_id integer NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    committed jsonb NOT NULL,
    answer jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, route, key)
);

-- One row per student and drive: does he meet the criteria? Inlined by the planner, so a set costs one scan.
-- The Python twin is services/api/eligibility/rules.py; tests/integration/test_rules_agree.py holds them together.
CREATE FUNCTION meets_criteria(
    cgpa numeric, tenth numeric, twelfth numeric, backlogs integer, branch text, batch_year integer,
    min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer, branches text[], batch_years integer[]
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (min_cgpa IS NULL OR cgpa >= min_cgpa) IS TRUE
       AND (min_10th IS NULL OR tenth >= min_10th) IS TRUE
       AND (min_12th IS NULL OR twelfth >= min_12th) IS TRUE
       AND (max_backlogs IS NULL OR backlogs <= max_backlogs) IS TRUE
       AND (branches IS NULL OR branch = ANY (branches)) IS TRUE
       AND (batch_years IS NULL OR batch_year = ANY (batch_years)) IS TRUE
$$;

CREATE FUNCTION project_student(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, access_changed_at, created_at)
    SELECT (e.data ->> 'student_id')::integer, e.data ->> 'name', e.data ->> 'email', 'STUDENT', e.data ->> 'department',
           e.recorded_at, e.recorded_at
      FROM unnest(events) e WHERE e.type = 'placewire.student.enrolled.v1';

    INSERT INTO students (student_id, roll_number, branch, batch_year, tenth_percent, twelfth_percent, cgpa, active_backlogs)
    SELECT (e.data ->> 'student_id')::integer, r.roll_number, r.branch, r.batch_year, r.tenth_percent, r.twelfth_percent,
           r.cgpa, r.active_backlogs
      FROM unnest(events) e, jsonb_to_record(e.data -> 'record') AS r(roll_number text, branch text, batch_year integer,
           tenth_percent numeric, twelfth_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE e.type = 'placewire.student.enrolled.v1';

    UPDATE students s
       SET roll_number = r.roll_number, branch = r.branch, batch_year = r.batch_year, tenth_percent = r.tenth_percent,
           twelfth_percent = r.twelfth_percent, cgpa = r.cgpa, active_backlogs = r.active_backlogs
      FROM (SELECT DISTINCT ON (stream_id) data FROM unnest(events)
             WHERE type = 'placewire.student.record-revised.v1' ORDER BY stream_id, version DESC) e,
           jsonb_to_record(e.data -> 'record') AS r(roll_number text, branch text, batch_year integer,
           tenth_percent numeric, twelfth_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE s.student_id = (e.data ->> 'student_id')::integer;
END $$;

CREATE FUNCTION project_user(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, access_changed_at, created_at)
    SELECT (e.data ->> 'user_id')::integer, e.data ->> 'name', e.data ->> 'email', e.data ->> 'role',
           e.data ->> 'department', e.recorded_at, e.recorded_at
      FROM unnest(events) e WHERE e.type = 'placewire.user.created.v1';

    UPDATE users u
       SET password_version = u.password_version + c.passwords, access_changed_at = c.changed_at,
           role = coalesce(c.role, u.role)
      FROM (SELECT (data ->> 'user_id')::integer AS user_id,
                   count(*) FILTER (WHERE type = 'placewire.user.password-changed.v1') AS passwords,
                   max(recorded_at) AS changed_at,
                   (array_agg(data ->> 'role' ORDER BY version DESC)
                       FILTER (WHERE type = 'placewire.user.role-changed.v1'))[1] AS role
              FROM unnest(events)
             WHERE type IN ('placewire.user.password-changed.v1', 'placewire.user.role-changed.v1')
             GROUP BY 1) c
     WHERE u.user_id = c.user_id;
END $$;

-- Drives are few and change rarely: one statement an event.
CREATE FUNCTION project_drive_event(e es.event) RETURNS void LANGUAGE plpgsql AS $$
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
    WHEN 'placewire.drive.deleted.v1' THEN
        DELETE FROM drives WHERE drive_id = id;
        DELETE FROM evaluations WHERE drive_id = id;
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

CREATE FUNCTION project_drive(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e es.event;
BEGIN
    FOREACH e IN ARRAY events LOOP
        PERFORM project_drive_event(e);
    END LOOP;
END $$;

-- A late evaluation of a deleted drive leaves no row behind: the drive's own stream and this one may be read in any order.
CREATE FUNCTION project_eligibility(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO evaluations (drive_id, drive_version, job_id, applied, eligible, selected, evaluated_at)
    SELECT DISTINCT ON (1) (e.data ->> 'drive_id')::integer, (e.data ->> 'drive_version')::bigint,
           (e.data ->> 'job_id')::uuid, (e.data ->> 'applied')::boolean, (e.data ->> 'eligible')::integer,
           (e.data #>> '{selected,count}')::integer, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.eligibility.evaluated.v1'
     ORDER BY 1, e.version DESC
    ON CONFLICT (drive_id) DO UPDATE
       SET drive_version = excluded.drive_version, job_id = excluded.job_id, applied = excluded.applied,
           eligible = excluded.eligible, selected = excluded.selected, evaluated_at = excluded.evaluated_at;
END $$;

-- Applies events of one stream type, in stream order, to the read tables that the search path finds first.
CREATE FUNCTION project(stream_type text, events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE stream_type
        WHEN 'student' THEN PERFORM project_student(events);
        WHEN 'user' THEN PERFORM project_user(events);
        WHEN 'drive' THEN PERFORM project_drive(events);
        WHEN 'eligibility' THEN PERFORM project_eligibility(events);
        ELSE NULL;
    END CASE;
END $$;
