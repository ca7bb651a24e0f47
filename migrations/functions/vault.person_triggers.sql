-- Triggers: refuse to change a version in vault.person, or to truncate the table.
--
-- requires: vault.reject_change
CREATE OR REPLACE TRIGGER person_is_never_changed BEFORE UPDATE ON vault.person
    FOR EACH ROW EXECUTE FUNCTION vault.reject_change();
CREATE OR REPLACE TRIGGER person_is_never_truncated BEFORE TRUNCATE ON vault.person
    FOR EACH STATEMENT EXECUTE FUNCTION vault.reject_change();
