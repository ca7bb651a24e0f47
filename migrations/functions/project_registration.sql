-- Projection: registrations. verify and rebuild project a chunk of the log one stream type after the other. So events of a drive and
-- of its registrations may come in either order. A registration is only written while its drive exists, and it is deleted with the
-- drive. So a deleted drive has no registrations, in whichever order its events come.
CREATE OR REPLACE FUNCTION project_registration(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
    SELECT (e.data ->> 'registration_id')::integer, d.drive_id, (e.data ->> 'student_id')::integer, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.registration.registered.v1';
END $$;
