-- Triggers: es.event is append-only, and accepts rows only while the log is open.
--
-- requires: es.enter_log, es.reject_change
CREATE OR REPLACE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE ON es.event
    FOR EACH ROW EXECUTE FUNCTION es.reject_change();
CREATE OR REPLACE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON es.event
    FOR EACH STATEMENT EXECUTE FUNCTION es.reject_change();
CREATE OR REPLACE TRIGGER event_is_written_under_the_lock BEFORE INSERT ON es.event
    FOR EACH STATEMENT EXECUTE FUNCTION es.enter_log();
