-- Apply events of one stream type, in stream order, to the read tables. es.append calls this in its transaction. verify and rebuild
-- call it with temporary tables first in the search path.
--
-- requires: project_attendance, project_drive, project_eligibility, project_erasure, project_export, project_notifications, project_registration, project_student, project_user
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
