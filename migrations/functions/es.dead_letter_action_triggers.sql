-- Triggers: es.dead_letter_action is append-only.
--
-- requires: es.reject_change
CREATE OR REPLACE TRIGGER dead_letter_action_is_append_only BEFORE UPDATE OR DELETE ON es.dead_letter_action
    FOR EACH ROW EXECUTE FUNCTION es.reject_change();
CREATE OR REPLACE TRIGGER dead_letter_action_is_never_truncated BEFORE TRUNCATE ON es.dead_letter_action
    FOR EACH STATEMENT EXECUTE FUNCTION es.reject_change();
