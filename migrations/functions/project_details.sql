-- Projection: users and students, from revised account details. If events has several revisions of an account, the last one counts.
--
-- requires: vault.shown_email, vault.shown_name, vault.shown_roll_number
CREATE OR REPLACE FUNCTION project_details(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    revised CONSTANT es.event[] := ARRAY (
        SELECT e FROM (SELECT DISTINCT ON (stream_id) e, stream_id FROM unnest(events) e
                        WHERE type = 'placewire.user.details-revised.v1' ORDER BY stream_id, version DESC) last);
BEGIN
    IF cardinality(revised) = 0 THEN
        RETURN;
    END IF;
    UPDATE users u
       SET name = vault.shown_name(v.name), email = vault.shown_email(v.email, p.id), department = e.data ->> 'department',
           person_version = p.version
      FROM unnest(revised) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'user_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE u.user_id = p.id;

    UPDATE students s SET roll_number = vault.shown_roll_number(v.roll_number, p.id)
      FROM unnest(revised) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'user_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE s.student_id = p.id AND s.roll_number IS DISTINCT FROM vault.shown_roll_number(v.roll_number, p.id);
END $$;
