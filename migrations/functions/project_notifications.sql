-- Projection: notifications. Runs after the drives are projected. Notifications are deleted with their drive, and later ones about it
-- are not written: streams may be read in any order (project_eligibility).
--
-- requires: drive_name_at, notifications_of
CREATE OR REPLACE FUNCTION project_notifications(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone CONSTANT integer[] := ARRAY (
        SELECT (e.data ->> 'drive_id')::integer FROM unnest(events) e WHERE e.type = 'placewire.drive.deleted.v1');
BEGIN
    INSERT INTO notifications (notification_id, event_id, xid, audience, user_id, drive_version, title, message, type,
                               entity_type, entity_id, created_at)
    SELECT e.position * 8 + notice.ordinal, e.event_id, e.xid, notice.audience,
           CASE notice.audience WHEN 'USER' THEN (e.data #>> '{students,first}')::integer END,
           notice.drive_version, notice.title,
           format(notice.wording, drive_name_at(d.drive_id, coalesce(notice.drive_version, e.version))), notice.type,
           'drive', d.drive_id, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     CROSS JOIN LATERAL notifications_of(e) notice
     WHERE e.type <> 'placewire.drive.reevaluation-requested.v1';
    IF cardinality(gone) > 0 THEN
        DELETE FROM notifications WHERE entity_type = 'drive' AND entity_id = ANY (gone);
    END IF;
END $$;
