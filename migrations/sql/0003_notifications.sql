-- Notifications: one row for each audience, read marks for each user.
--
-- audience: a role ('STAFF'); 'SELECTED', the students whom version drive_version of drive entity_id selected anew;
-- 'REGISTERED', the students registered for drive entity_id; or 'USER', user_id alone.
-- notification_id is made of the event's position, so that a replay gives the same ids; xid is the event's.
CREATE TABLE notifications (
    notification_id bigint PRIMARY KEY,
    event_id uuid NOT NULL,
    xid xid8 NOT NULL,
    audience text NOT NULL,
    user_id integer,
    drive_version bigint,
    title text NOT NULL,
    message text NOT NULL,
    type text NOT NULL,
    entity_type text NOT NULL,
    entity_id integer NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT notifications_once_for_each_audience UNIQUE (event_id, audience)
);
CREATE INDEX notifications_newest ON notifications (audience, created_at, notification_id);
CREATE INDEX notifications_since ON notifications (audience, xid);
CREATE INDEX notifications_of_user ON notifications (user_id, created_at) WHERE user_id IS NOT NULL;
CREATE INDEX notifications_of_entity ON notifications (entity_type, entity_id);

CREATE TABLE notification_reads (
    user_id integer NOT NULL,
    notification_id bigint NOT NULL,
    read_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, notification_id)
);

-- Everything that the snapshot seen could see is read. Neither a time nor an id would do: a notification may commit
-- after others that are younger, and would count as read without ever having been shown.
CREATE TABLE notification_read_marks (
    user_id integer PRIMARY KEY,
    seen pg_snapshot NOT NULL,
    read_at timestamptz NOT NULL
);

-- "Company - Job" as version p_version of the drive's stream had it. From the log: a replay may have taken the drive's
-- later events already. Index scan backward on event_stream_version.
CREATE FUNCTION drive_name_at(p_drive_id integer, p_version bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (data #>> '{posting,company_name}') || ' - ' || (data #>> '{posting,job_title}')
      FROM es.event
     WHERE stream_id = 'drive-' || p_drive_id AND version <= p_version AND data ? 'posting'
     ORDER BY version DESC LIMIT 1
$$;

-- Did registrations stop before the evaluation began? Asked of the log with the evaluation's own snapshot, so that the
-- answer is the same at every time.
CREATE FUNCTION stopped_before(p_drive_id integer, p_snapshot pg_snapshot) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM es.event
                    WHERE stream_id = 'drive-' || p_drive_id AND type = 'placewire.drive.registrations-stopped.v1'
                      AND pg_visible_in_snapshot(xid, p_snapshot))
$$;

-- What e tells whom; wording has a place for the drive's name.
CREATE FUNCTION notices_of(e es.event)
RETURNS TABLE (ordinal integer, audience text, drive_version bigint, type text, title text, wording text)
LANGUAGE sql STABLE AS $$
    SELECT 0, 'COORDINATOR', NULL::bigint, 'info', 'New Drive Added', '%s has been created and is ready for review.'
     WHERE e.type = 'placewire.drive.created.v1'
    UNION ALL
    SELECT 0, 'STAFF', NULL, 'success', 'New Drive Available', '%s has been auto-published.'
     WHERE e.type = 'placewire.drive.published.v1' AND (e.data ->> 'auto_published')::boolean IS TRUE
    UNION ALL
    SELECT 0, 'STAFF', NULL, 'success', 'Drive Published', '%s is now open for registrations.'
     WHERE e.type = 'placewire.drive.published.v1' AND (e.data ->> 'auto_published')::boolean IS NOT TRUE
    UNION ALL
    SELECT told.*
      FROM (VALUES
               (0, 'REGISTERED', NULL::bigint, 'info', 'Attendance Published', 'Attendance has been published for %s.'),
               (1, 'HEAD', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.'),
               (2, 'COORDINATOR', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.'),
               (3, 'STAFF', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.')
           ) AS told
     WHERE e.type = 'placewire.drive.attendance-published.v1'
    UNION ALL
    SELECT 0, 'SELECTED', asked.version, 'success', 'New Drive Available',
           CASE WHEN (asked.data ->> 'auto_published')::boolean THEN '%s has been auto-published.'
                WHEN asked.type = 'placewire.drive.published.v1' AND coalesce(asked.data -> 'requested', 'null') = 'null'
                THEN '%s has been published.'
                ELSE '%s is available for you to register.' END
      FROM es.event asked
     WHERE e.type = 'placewire.eligibility.evaluated.v1' AND (e.data ->> 'applied')::boolean
       AND (e.data #>> '{added,count}')::integer > 0
       AND NOT stopped_before((e.data ->> 'drive_id')::integer, (e.data ->> 'snapshot')::pg_snapshot)
       AND asked.stream_id = 'drive-' || (e.data ->> 'drive_id') AND asked.version = (e.data ->> 'drive_version')::bigint
$$;

-- After the drives have been projected. A deleted drive's notifications lead nowhere: they go with it, and what is told
-- of it late never comes (as with evaluations, streams may be read in any order).
CREATE FUNCTION project_notifications(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone CONSTANT integer[] := ARRAY (
        SELECT (e.data ->> 'drive_id')::integer FROM unnest(events) e WHERE e.type = 'placewire.drive.deleted.v1');
BEGIN
    INSERT INTO notifications (notification_id, event_id, xid, audience, drive_version, title, message, type,
                               entity_type, entity_id, created_at)
    SELECT e.position * 8 + told.ordinal, e.event_id, e.xid, told.audience, told.drive_version, told.title,
           format(told.wording, drive_name_at(d.drive_id, coalesce(told.drive_version, e.version))), told.type,
           'drive', d.drive_id, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     CROSS JOIN LATERAL notices_of(e) told;
    IF cardinality(gone) > 0 THEN
        DELETE FROM notifications WHERE entity_type = 'drive' AND entity_id = ANY (gone);
    END IF;
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
        ELSE NULL;
    END CASE;
END $$;

-- What was recorded before this revision is told too, so that a replay finds nothing else.
SELECT project_notifications(array_agg(e ORDER BY e.tx, e.position)) FROM es.event e
 WHERE e.type IN ('placewire.drive.created.v1', 'placewire.drive.published.v1',
                  'placewire.drive.attendance-published.v1', 'placewire.eligibility.evaluated.v1');

GRANT SELECT, INSERT, DELETE ON notifications TO placewire_api;
GRANT SELECT, INSERT, UPDATE ON notification_reads, notification_read_marks TO placewire_api;
GRANT INSERT ON notifications TO placewire_eligibility;
