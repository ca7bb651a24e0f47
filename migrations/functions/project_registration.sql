-- Projection: registrations. A drive's own stream and those of its registrations and marks may be read in either order (verify
-- and rebuild project a chunk of the log one stream type after the other). So a row needs its drive: of a drive deleted later, in
-- this chunk or the next, nothing is left, whichever was projected first.
CREATE OR REPLACE FUNCTION project_registration(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
    SELECT (e.data ->> 'registration_id')::integer, d.drive_id, (e.data ->> 'student_id')::integer, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.registration.registered.v1';
END $$;
