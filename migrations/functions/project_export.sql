-- Projection: exports. Events are applied one by one, because exports are few.
--
-- requires: project_export_event
CREATE OR REPLACE FUNCTION project_export(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e es.event;
BEGIN
    FOREACH e IN ARRAY events LOOP
        PERFORM project_export_event(e);
    END LOOP;
END $$;
