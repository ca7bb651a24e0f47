-- Projection: attendance. The last mark of a student wins. All marks of one registration have the same id.
-- A row is only written while its drive exists: see project_registration.
CREATE OR REPLACE FUNCTION project_attendance(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attendance (attendance_id, drive_id, student_id, status)
    SELECT DISTINCT ON (e.stream_id) (e.data ->> 'attendance_id')::integer, d.drive_id,
           (e.data ->> 'student_id')::integer, e.data ->> 'status'
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.registration.attendance-marked.v1'
     ORDER BY e.stream_id, e.version DESC
    ON CONFLICT (drive_id, student_id) DO UPDATE SET status = excluded.status;
END $$;
