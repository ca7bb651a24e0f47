-- Trigger of vault.person: raise 42501.
CREATE OR REPLACE FUNCTION vault.reject_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'versions in vault.person are never changed: add one, or delete the person''s' USING ERRCODE = '42501';
END $$;
