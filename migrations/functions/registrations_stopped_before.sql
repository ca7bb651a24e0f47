-- Return whether registrations stopped before an evaluation began. Reads the log with the evaluation's snapshot, so that the result
-- is the same at any time. Plan: event_stream_version.
CREATE OR REPLACE FUNCTION registrations_stopped_before(p_drive_id integer, p_snapshot pg_snapshot) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM es.event
                    WHERE stream_id = 'drive-' || p_drive_id AND type = 'placewire.drive.registrations-stopped.v1'
                      AND pg_visible_in_snapshot(xid, p_snapshot))
$$;
