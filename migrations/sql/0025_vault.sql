-- Names, e-mail addresses and roll numbers leave the log. Events name a person by id and version; the values are in
-- vault.person, which can forget them. The read tables users and students hold the current ones.

-- Events are never changed, so a log that holds such values cannot be converted.
DO $$
BEGIN
    IF EXISTS (SELECT FROM es.event
                WHERE type IN ('placewire.user.created.v1', 'placewire.user.details-revised.v1',
                               'placewire.student.enrolled.v1', 'placewire.student.record-revised.v1')
                  AND (data ?| ARRAY['name', 'email'] OR data -> 'record' ? 'roll_number')) THEN
        RAISE EXCEPTION 'the log of this database holds names, e-mail addresses or roll numbers'
              USING HINT = 'Events are never changed. Start with an empty database: this release reads no older logs.';
    END IF;
END $$;

CREATE SCHEMA vault;
COMMENT ON SCHEMA vault IS 'Personal data that events refer to, and that can be erased.';

-- Versions of a person's details. Version 1 is the first; a student's person_id is the student_id.
-- roll_number is null for people who are not students.
CREATE TABLE vault.person (
    person_id integer NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    roll_number text,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (person_id, version)
);
-- Never updated: as es.event (0007).
ALTER TABLE vault.person SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE FUNCTION vault.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'versions in vault.person are never changed: add one, or delete the person''s' USING ERRCODE = '42501';
END $$;
CREATE TRIGGER person_is_never_changed BEFORE UPDATE ON vault.person
    FOR EACH ROW EXECUTE FUNCTION vault.refuse_change();
CREATE TRIGGER person_is_never_truncated BEFORE TRUNCATE ON vault.person
    FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change();

-- What every projection shows for a version that has been erased. The address can receive no mail (RFC 2606).
CREATE FUNCTION vault.shown_name(p_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_name, 'Erased person');
CREATE FUNCTION vault.shown_email(p_email text, p_person integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_email, 'erased-' || p_person || '@erased.invalid');
CREATE FUNCTION vault.shown_roll_number(p_roll_number text, p_person integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_roll_number, 'erased-' || p_person);

-- The roll number that a student had at a moment, as the log refers to it: one row. Inlined when p_at is a column.
CREATE FUNCTION vault.roll_number_at(p_person integer, p_at timestamptz) RETURNS TABLE (roll_number text)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT vault.shown_roll_number(v.roll_number, p_person)
      FROM (SELECT coalesce((
                SELECT (e.data ->> 'person_version')::integer FROM es.event e
                 WHERE e.stream_id = 'user-' || p_person AND e.recorded_at <= p_at
                   AND e.type = 'placewire.user.details-revised.v1'
                 ORDER BY e.version DESC LIMIT 1), 1) AS version) then_
      LEFT JOIN vault.person v ON v.person_id = p_person AND v.version = then_.version
$$;

-- The bodies kept for Idempotency-Keys whose answers show personal data. person_ids: the people in them. json, not jsonb:
-- the answer is given again byte for byte.
CREATE TABLE vault.kept_answer (
    user_id integer NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    person_ids integer[] NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (user_id, route, key)
);

-- A kept body goes with its key, in the same transaction. With the owner's rights: who expires keys cannot read bodies.
CREATE FUNCTION vault.forget_answer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM vault.kept_answer k WHERE (k.user_id, k.route, k.key) = (old.user_id, old.route, old.key);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION vault.forget_answer() FROM PUBLIC;
CREATE TRIGGER answer_is_forgotten AFTER DELETE ON idempotency_keys
    FOR EACH ROW EXECUTE FUNCTION vault.forget_answer();
CREATE TRIGGER answer_is_forgotten_on_expiry AFTER UPDATE OF expired ON idempotency_keys
    FOR EACH ROW WHEN (new.expired) EXECUTE FUNCTION vault.forget_answer();

-- person_version: the version that the row shows.
ALTER TABLE users ADD COLUMN person_version integer NOT NULL;

-- As in 0017, with the personal details from the vault.
CREATE OR REPLACE FUNCTION project_student(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, person_version, access_changed_at, created_at)
    SELECT p.id, vault.shown_name(v.name), vault.shown_email(v.email, p.id), 'STUDENT', e.data ->> 'department', p.version,
           e.recorded_at, e.recorded_at
      FROM unnest(events) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'student_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE e.type = 'placewire.student.enrolled.v1';

    INSERT INTO students (student_id, roll_number, branch, batch_year, tenth_percent, twelfth_percent, diploma_percent,
                          cgpa, active_backlogs)
    SELECT p.id, vault.shown_roll_number(v.roll_number, p.id), r.branch, r.batch_year, r.tenth_percent, r.twelfth_percent,
           r.diploma_percent, r.cgpa, r.active_backlogs
      FROM unnest(events) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'student_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     CROSS JOIN LATERAL jsonb_to_record(e.data -> 'record') AS r(branch text, batch_year integer, tenth_percent numeric,
           twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE e.type = 'placewire.student.enrolled.v1';

    UPDATE students s
       SET branch = r.branch, batch_year = r.batch_year, tenth_percent = r.tenth_percent,
           twelfth_percent = r.twelfth_percent, diploma_percent = r.diploma_percent, cgpa = r.cgpa,
           active_backlogs = r.active_backlogs
      FROM (SELECT DISTINCT ON (stream_id) data FROM unnest(events)
             WHERE type = 'placewire.student.record-revised.v1' ORDER BY stream_id, version DESC) e,
           jsonb_to_record(e.data -> 'record') AS r(branch text, batch_year integer, tenth_percent numeric,
           twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE s.student_id = (e.data ->> 'student_id')::integer;
END $$;

-- As in 0016, with the personal details from the vault. A student's roll number is one of them.
CREATE OR REPLACE FUNCTION project_user(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, person_version, access_changed_at, created_at)
    SELECT p.id, vault.shown_name(v.name), vault.shown_email(v.email, p.id), e.data ->> 'role', e.data ->> 'department',
           p.version, e.recorded_at, e.recorded_at
      FROM unnest(events) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'user_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE e.type = 'placewire.user.created.v1';

    PERFORM project_details(events);

    UPDATE users u
       SET password_version = u.password_version + c.endings, access_version = u.access_version + c.changes,
           access_changed_at = greatest(u.access_changed_at, c.changed_at), role = coalesce(c.role, u.role),
           active = coalesce(c.active, u.active)
      FROM (SELECT (data ->> 'user_id')::integer AS user_id,
                   count(*) FILTER (WHERE type IN ('placewire.user.password-changed.v1',
                                                   'placewire.user.deactivated.v1')) AS endings,
                   count(*) FILTER (WHERE NOT coalesce((data ->> 'first')::boolean, false)) AS changes,
                   max(recorded_at) FILTER (WHERE NOT coalesce((data ->> 'first')::boolean, false)) AS changed_at,
                   (array_agg(data ->> 'role' ORDER BY version DESC)
                       FILTER (WHERE type = 'placewire.user.role-changed.v1'))[1] AS role,
                   (array_agg(type = 'placewire.user.reactivated.v1' ORDER BY version DESC)
                       FILTER (WHERE type IN ('placewire.user.deactivated.v1',
                                              'placewire.user.reactivated.v1')))[1] AS active
              FROM unnest(events)
             WHERE type IN ('placewire.user.password-changed.v1', 'placewire.user.role-changed.v1',
                            'placewire.user.deactivated.v1', 'placewire.user.reactivated.v1')
             GROUP BY 1) c
     WHERE u.user_id = c.user_id;

    UPDATE students s SET active = u.active
      FROM users u
     WHERE s.student_id = u.user_id AND s.active <> u.active
       AND u.user_id IN (SELECT (data ->> 'user_id')::integer FROM unnest(events)
                          WHERE type IN ('placewire.user.deactivated.v1', 'placewire.user.reactivated.v1'));
END $$;

-- The last revision of each account's details. One chunk of events may have several.
CREATE FUNCTION project_details(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    revised CONSTANT es.event[] := ARRAY (
        SELECT e FROM (SELECT DISTINCT ON (stream_id) e, stream_id FROM unnest(events) e
                        WHERE type = 'placewire.user.details-revised.v1' ORDER BY stream_id, version DESC) last);
BEGIN
    IF cardinality(revised) = 0 THEN
        RETURN;
    END IF;
    UPDATE users u
       SET name = vault.shown_name(v.name), email = vault.shown_email(v.email, p.id), department = e.data ->> 'department',
           person_version = p.version
      FROM unnest(revised) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'user_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE u.user_id = p.id;

    UPDATE students s SET roll_number = vault.shown_roll_number(v.roll_number, p.id)
      FROM unnest(revised) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'user_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE s.student_id = p.id AND s.roll_number IS DISTINCT FROM vault.shown_roll_number(v.roll_number, p.id);
END $$;

-- The API alone writes personal data and reads all of it. The exporter reads current details in users and students, and
-- earlier roll numbers: the file of a finished drive shows those of its time.
GRANT USAGE ON SCHEMA vault TO placewire_api, placewire_exporter;
GRANT SELECT, INSERT ON vault.person TO placewire_api;
GRANT SELECT (person_id, version, roll_number) ON vault.person TO placewire_exporter;
GRANT SELECT, INSERT ON vault.kept_answer TO placewire_api;
-- Every other column of students: an evaluation needs no roll number.
REVOKE SELECT ON students FROM placewire_eligibility;
GRANT SELECT (student_id, branch, branch_key, batch_year, tenth_percent, twelfth_percent, diploma_percent, cgpa,
              active_backlogs, active) ON students TO placewire_eligibility;
REVOKE SELECT ON users FROM placewire_exporter;
GRANT SELECT (user_id, name, email, role, department, active) ON users TO placewire_exporter;
