-- Triggers: a version in vault.person is never changed, and the table is never truncated.
--
-- requires: vault.reject_change
CREATE OR REPLACE TRIGGER person_is_never_changed BEFORE UPDATE ON vault.person
    FOR EACH ROW EXECUTE FUNCTION vault.reject_change();
CREATE OR REPLACE TRIGGER person_is_never_truncated BEFORE TRUNCATE ON vault.person
    FOR EACH STATEMENT EXECUTE FUNCTION vault.reject_change();
