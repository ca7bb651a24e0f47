-- Projection: users and students whose personal data was erased. Runs after the other events of the same accounts, because an erasure
-- is the last event about personal details.
--
-- requires: vault.shown_email, vault.shown_name, vault.shown_roll_number
CREATE OR REPLACE FUNCTION project_erasure(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(events) WHERE type = 'placewire.user.person-erased.v1') THEN
        RETURN;
    END IF;
    UPDATE users u
       SET name = vault.shown_name(NULL), email = vault.shown_email(NULL, u.user_id), erased_at = e.recorded_at
      FROM unnest(events) e
     WHERE e.type = 'placewire.user.person-erased.v1' AND u.user_id = (e.data ->> 'person_id')::integer;
    UPDATE students s SET roll_number = vault.shown_roll_number(NULL, s.student_id)
      FROM unnest(events) e
     WHERE e.type = 'placewire.user.person-erased.v1' AND s.student_id = (e.data ->> 'person_id')::integer;
END $$;
