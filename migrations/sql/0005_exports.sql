-- Exports: the read table, its projection, and the exporter's role.
--
-- export_id is also the id of the event that asks for it, and so of its job.
CREATE TABLE exports (
    export_id uuid PRIMARY KEY,
    kind text NOT NULL,
    format text NOT NULL,
    drive_id integer,
    columns text[] NOT NULL,
    byte_order_mark boolean NOT NULL,
    delimiter text NOT NULL,
    requested_by integer,
    requested_at timestamptz NOT NULL,
    state text NOT NULL,
    path text,
    rows bigint,
    size_bytes bigint,
    sha256 text,
    snapshot text,
    ended_at timestamptz,
    expires_at timestamptz,
    reason text
);
CREATE INDEX exports_newest ON exports (requested_at DESC, export_id DESC);
CREATE INDEX exports_of_user ON exports (requested_by, requested_at DESC, export_id DESC);

-- Exports are few: one statement an event. One that failed may be done after all, when it is taken up again.
CREATE FUNCTION project_export_event(e es.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id CONSTANT uuid := (e.data ->> 'export_id')::uuid;
BEGIN
    CASE e.type
    WHEN 'placewire.export.requested.v1' THEN
        INSERT INTO exports (export_id, kind, format, drive_id, columns, byte_order_mark, delimiter, requested_by,
                             requested_at, state)
        SELECT id, r.kind, r.format, r.drive_id, r.columns, r.byte_order_mark, r.delimiter,
               (e.metadata ->> 'actor_id')::integer, e.recorded_at, 'requested'
          FROM jsonb_to_record(e.data) AS r(kind text, format text, drive_id integer, columns text[],
               byte_order_mark boolean, delimiter text);
    WHEN 'placewire.export.completed.v1' THEN
        UPDATE exports x
           SET state = 'completed', path = c.path, rows = c.rows, size_bytes = c.size_bytes, sha256 = c.sha256,
               snapshot = c.snapshot, ended_at = e.recorded_at, expires_at = c.expires_at, reason = NULL
          FROM jsonb_to_record(e.data) AS c(path text, rows bigint, size_bytes bigint, sha256 text, snapshot text,
               expires_at timestamptz)
         WHERE x.export_id = id;
    WHEN 'placewire.export.failed.v1' THEN
        UPDATE exports SET state = 'failed', ended_at = e.recorded_at, reason = e.data ->> 'reason' WHERE export_id = id;
    WHEN 'placewire.export.cancelled.v1' THEN
        UPDATE exports SET state = 'cancelled', ended_at = e.recorded_at WHERE export_id = id;
    WHEN 'placewire.export.expired.v1' THEN
        UPDATE exports SET state = 'expired' WHERE export_id = id;
    ELSE
        NULL;
    END CASE;
END $$;

CREATE FUNCTION project_export(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e es.event;
BEGIN
    FOREACH e IN ARRAY events LOOP
        PERFORM project_export_event(e);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION project(stream_type text, events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE stream_type
        WHEN 'student' THEN PERFORM project_student(events);
        WHEN 'user' THEN PERFORM project_user(events);
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

DO $$
BEGIN
    CREATE ROLE placewire_exporter LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
DO $$
DECLARE
    setting record;
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO placewire_exporter', current_database());
    -- A file is read in a transaction that lifts them for itself (services/exporter/sql.py); what it writes is short.
    FOR setting IN SELECT * FROM (VALUES ('idle_in_transaction_session_timeout', '10s'), ('transaction_timeout', '60s'),
                                         ('lock_timeout', '20s')) AS listed (name, value) LOOP
        EXECUTE format('ALTER ROLE placewire_exporter IN DATABASE %I SET %I = %L',
                       current_database(), setting.name, setting.value);
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA es TO placewire_exporter;
GRANT SELECT, INSERT, UPDATE ON es.stream TO placewire_exporter;
GRANT SELECT, INSERT ON es.event TO placewire_exporter;
GRANT INSERT ON es.outbox TO placewire_exporter;
GRANT SELECT, UPDATE ON es.job TO placewire_exporter;
GRANT SELECT, INSERT, UPDATE ON es.canary TO placewire_exporter;
GRANT SELECT, INSERT ON es.undecodable TO placewire_exporter;
GRANT SELECT ON users, students, drives, job_domains, selections, registrations, attendance, finished_drives
   TO placewire_exporter;
GRANT SELECT, UPDATE ON exports TO placewire_exporter, placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON exports TO placewire_api;
GRANT UPDATE ON es.job TO placewire_api; -- it cancels
