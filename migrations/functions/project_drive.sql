-- Projection: drives, finished_drives, and the rows that are deleted with a drive. Events are applied one by one, because drives are
-- few and change rarely.
--
-- requires: project_drive_event
CREATE OR REPLACE FUNCTION project_drive(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e es.event;
BEGIN
    FOREACH e IN ARRAY events LOOP
        PERFORM project_drive_event(e);
    END LOOP;
END $$;
