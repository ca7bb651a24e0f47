-- Delete a person's data outside of the log, and withdraw the export files that may show it. The caller appends PersonErased in the
-- same transaction. Runs with the owner's rights, because no service may delete from the vault. Return false if the person was
-- erased before.
--
-- requires: lock_exclusive, vault.shows_people
CREATE OR REPLACE FUNCTION vault.erase_person(p_person integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM lock_exclusive('erasures');
    INSERT INTO vault.erasure (person_id) VALUES (p_person) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM vault.person WHERE person_id = p_person;
    DELETE FROM vault.kept_answer WHERE p_person = ANY (person_ids);
    DELETE FROM credentials WHERE user_id = p_person;
    DELETE FROM password_links WHERE user_id = p_person;
    DELETE FROM notification_reads WHERE user_id = p_person;
    DELETE FROM notification_read_marks WHERE user_id = p_person;
    INSERT INTO withdrawn_exports (export_id, path)
    SELECT x.export_id, x.path FROM exports x
     WHERE x.state = 'completed' AND vault.shows_people(x.kind, x.columns)
        ON CONFLICT (export_id) DO UPDATE SET path = excluded.path;
    RETURN true;
END $$;
