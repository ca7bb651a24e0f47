-- Accounts: case-insensitive sign-in, corrected details, deactivation, and links that set a password.

-- Two addresses with one key are the same address. The collation is built into Postgres, so the index does not depend on the
-- operating system's.
CREATE FUNCTION identity_key(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(normalize(btrim($1), NFC) COLLATE pg_c_utf8);
GRANT EXECUTE ON FUNCTION identity_key(text) TO PUBLIC;

-- Each of these is a person's account, so people must decide which one stays.
DO $$
DECLARE
    twice text;
BEGIN
    SELECT string_agg(format('users %s', ids), '; ') INTO twice
      FROM (SELECT string_agg(user_id::text, ', ' ORDER BY user_id) AS ids
              FROM users GROUP BY identity_key(email) HAVING count(*) > 1 LIMIT 20) AS found;
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION 'e-mail addresses differ only in case or spaces: %', twice
              USING HINT = 'Change or remove all but one of each before this migration.';
    END IF;
END $$;
ALTER TABLE users DROP CONSTRAINT users_email_unique;
CREATE UNIQUE INDEX users_identity_unique ON users (identity_key(email));

-- access_version counts changes of an account's access. Zero: no token can be out of date.
ALTER TABLE users ADD active boolean NOT NULL DEFAULT true, ADD access_version integer NOT NULL DEFAULT 0;
CREATE INDEX users_inactive ON users (user_id) WHERE NOT active;
-- A copy of users.active, so that an evaluation reads one table.
ALTER TABLE students ADD active boolean NOT NULL DEFAULT true;
UPDATE users u SET access_version = c.changes
  FROM (SELECT (data ->> 'user_id')::integer AS user_id, count(*) AS changes FROM es.event
         WHERE type IN ('placewire.user.password-changed.v1', 'placewire.user.role-changed.v1') GROUP BY 1) c
 WHERE u.user_id = c.user_id;

-- An account's first password ends no tokens, because none exist.
CREATE OR REPLACE FUNCTION project_user(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, access_changed_at, created_at)
    SELECT (e.data ->> 'user_id')::integer, e.data ->> 'name', e.data ->> 'email', e.data ->> 'role',
           e.data ->> 'department', e.recorded_at, e.recorded_at
      FROM unnest(events) e WHERE e.type = 'placewire.user.created.v1';

    UPDATE users u
       SET name = e.data ->> 'name', email = e.data ->> 'email', department = e.data ->> 'department'
      FROM (SELECT DISTINCT ON (stream_id) data FROM unnest(events)
             WHERE type = 'placewire.user.details-revised.v1' ORDER BY stream_id, version DESC) e
     WHERE u.user_id = (e.data ->> 'user_id')::integer;

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

-- At most one link for each account; a new one replaces the previous one. The token itself is not stored.
CREATE TABLE password_links (
    user_id integer PRIMARY KEY,
    token_sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT password_links_token_unique UNIQUE (token_sha256)
);
CREATE INDEX password_links_expiring ON password_links (expires_at);

-- As before, with exports of links.
CREATE OR REPLACE FUNCTION project_export_event(e es.event) RETURNS void LANGUAGE plpgsql AS $$
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
    WHEN 'placewire.export.invitations-requested.v1' THEN
        INSERT INTO exports (export_id, kind, format, columns, byte_order_mark, delimiter, requested_by, requested_at,
                             state)
        VALUES (id, 'invitations', 'csv',
                ARRAY['student_id', 'roll_number', 'name', 'email', 'branch', 'batch_year', 'link', 'expires_at'],
                (e.data ->> 'byte_order_mark')::boolean, e.data ->> 'delimiter',
                (e.metadata ->> 'actor_id')::integer, e.recorded_at, 'requested');
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

GRANT SELECT, INSERT, UPDATE ON password_links TO placewire_api, placewire_exporter;
GRANT SELECT, DELETE, UPDATE (used_at) ON password_links TO placewire_maintenance;
-- Whether an account has a password, not what it is.
GRANT SELECT (user_id) ON credentials TO placewire_exporter;
