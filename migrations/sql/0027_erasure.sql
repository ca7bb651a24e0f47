-- Erasure: what is deleted of a person, what shows it, and which files go with it.

-- When the person was erased; null: never. The account is closed for good.
ALTER TABLE users ADD COLUMN erased_at timestamptz;

-- One row for each erased person, in the erasure's transaction. Rows are never deleted: an export compares the number that its
-- snapshot saw with the number when it ends.
CREATE TABLE vault.erasure (
    person_id integer PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Stored files of exports that may show an erased person. The API refuses their download from the erasure's commit on; maintenance
-- deletes them, records ExportExpired and then deletes the row.
CREATE TABLE withdrawn_exports (
    export_id uuid PRIMARY KEY,
    path text NOT NULL,
    withdrawn_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- An erasure and the end of an export take turns: an erasure holds this lock alone, exports share it. So an export that ends first is
-- among the withdrawn ones, and one that ends later sees the erasure.
CREATE FUNCTION vault.lock_erasures() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('erasures', 0))
$$;
CREATE FUNCTION vault.share_erasures() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('erasures', 0));
    RETURN (SELECT count(*) FROM vault.erasure);
END $$;

-- Whether a file of such an export shows names, e-mail addresses or roll numbers. The Python twin is
-- services/exporter/decider.py.
CREATE FUNCTION vault.shows_people(kind text, columns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind = 'invitations' OR columns && ARRAY['name', 'email', 'roll_number'];

-- What an erasure deletes: the number of rows of each kind, for a dry run.
CREATE FUNCTION vault.personal_data_of(
    p_person integer,
    OUT versions bigint, OUT kept_answers bigint, OUT passwords bigint, OUT password_links bigint, OUT read_marks bigint,
    OUT export_files bigint
) LANGUAGE sql STABLE AS $$
    SELECT (SELECT count(*) FROM vault.person WHERE person_id = p_person),
           (SELECT count(*) FROM vault.kept_answer WHERE p_person = ANY (person_ids)),
           (SELECT count(*) FROM credentials WHERE user_id = p_person),
           (SELECT count(*) FROM password_links WHERE user_id = p_person),
           (SELECT count(*) FROM notification_reads WHERE user_id = p_person)
               + (SELECT count(*) FROM notification_read_marks WHERE user_id = p_person),
           (SELECT count(*) FROM exports x
             WHERE x.state = 'completed' AND vault.shows_people(x.kind, x.columns)
               AND NOT EXISTS (SELECT FROM withdrawn_exports w WHERE w.export_id = x.export_id))
$$;

-- Delete what is stored of a person outside the log, and withdraw the files that may show them. The caller appends PersonErased in the
-- same transaction. With the owner's rights: no service may delete from the vault otherwise. False if it was done before.
CREATE FUNCTION vault.erase_person(p_person integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM vault.lock_erasures();
    INSERT INTO vault.erasure (person_id) VALUES (p_person) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM vault.person WHERE person_id = p_person;
    DELETE FROM vault.kept_answer WHERE p_person = ANY (person_ids);
    DELETE FROM credentials WHERE user_id = p_person;
    DELETE FROM password_links WHERE user_id = p_person;
    DELETE FROM notification_reads WHERE user_id = p_person;
    DELETE FROM notification_read_marks WHERE user_id = p_person;
    INSERT INTO withdrawn_exports (export_id, path)
    SELECT x.export_id, x.path FROM exports x
     WHERE x.state = 'completed' AND vault.shows_people(x.kind, x.columns)
        ON CONFLICT (export_id) DO UPDATE SET path = excluded.path;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION vault.erase_person(integer) FROM PUBLIC;

-- After the other events of the same accounts: an erasure is the last one that concerns personal details.
CREATE FUNCTION project_erasure(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(events) WHERE type = 'placewire.user.person-erased.v1') THEN
        RETURN;
    END IF;
    UPDATE users u
       SET name = vault.shown_name(NULL), email = vault.shown_email(NULL, u.user_id), erased_at = e.recorded_at
      FROM unnest(events) e
     WHERE e.type = 'placewire.user.person-erased.v1' AND u.user_id = (e.data ->> 'person_id')::integer;
    UPDATE students s SET roll_number = vault.shown_roll_number(NULL, s.student_id)
      FROM unnest(events) e
     WHERE e.type = 'placewire.user.person-erased.v1' AND s.student_id = (e.data ->> 'person_id')::integer;
END $$;

-- As in 0005, with erasures.
CREATE OR REPLACE FUNCTION project(stream_type text, events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE stream_type
        WHEN 'student' THEN PERFORM project_student(events);
        WHEN 'user' THEN
            PERFORM project_user(events);
            PERFORM project_erasure(events);
        WHEN 'drive' THEN
            PERFORM project_drive(events);
            PERFORM project_notifications(events);
        WHEN 'eligibility' THEN
            PERFORM project_eligibility(events);
            PERFORM project_notifications(events);
        WHEN 'registration' THEN PERFORM project_registration(events);
        WHEN 'attendance' THEN PERFORM project_attendance(events);
        WHEN 'export' THEN PERFORM project_export(events);
        ELSE NULL;
    END CASE;
END $$;

GRANT EXECUTE ON FUNCTION vault.erase_person(integer) TO placewire_api;
GRANT SELECT ON vault.erasure, withdrawn_exports TO placewire_api;
GRANT SELECT (person_id) ON vault.erasure TO placewire_exporter;
GRANT SELECT, DELETE ON withdrawn_exports TO placewire_maintenance;
