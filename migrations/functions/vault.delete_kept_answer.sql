-- Trigger of idempotency_keys: delete the stored response with its key, in the same transaction. Runs with the owner's rights, because
-- the role that expires keys cannot read responses.
CREATE OR REPLACE FUNCTION vault.delete_kept_answer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM vault.kept_answer k WHERE (k.user_id, k.route, k.key) = (old.user_id, old.route, old.key);
    RETURN NULL;
END $$;
