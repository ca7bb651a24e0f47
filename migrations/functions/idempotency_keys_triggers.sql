-- Triggers: delete the stored response of a key when the key is deleted or expires.
--
-- requires: vault.delete_kept_answer
CREATE OR REPLACE TRIGGER answer_is_forgotten AFTER DELETE ON idempotency_keys
    FOR EACH ROW EXECUTE FUNCTION vault.delete_kept_answer();
CREATE OR REPLACE TRIGGER answer_is_forgotten_on_expiry AFTER UPDATE OF expired ON idempotency_keys
    FOR EACH ROW WHEN (new.expired) EXECUTE FUNCTION vault.delete_kept_answer();
