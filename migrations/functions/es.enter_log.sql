-- Trigger of es.event: check that the log may be written, and hold its lock in shared mode until the transaction ends. Raises ES003
-- if the log is closed, ES004 if it must be adopted. A session stays on one server, so adoption is checked once a session.
-- `placewire rebuild` takes the lock exclusively: then every event is either committed with its effect, or not yet written.
-- This is a trigger and no part of es.append, so that no writer can forget it. It costs 2 % of the appends a second at the median,
-- which is less than the difference between equal runs. Measured with pgbench: 8 sessions, one event for each append, commits that
-- do not wait for the disk, five alternating pairs of runs.
--
-- requires: es.adoption_reason, es.log_offset
CREATE OR REPLACE FUNCTION es.enter_log() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    epoch es.epoch;
    reason text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7461923008);
    SELECT * INTO epoch FROM es.epoch ORDER BY number DESC LIMIT 1;
    IF epoch.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'the log is closed' USING ERRCODE = 'ES003', HINT = 'See `placewire close-log --help`.';
    END IF;
    IF epoch.number IS NULL OR epoch.xid_offset <> es.log_offset()
       OR current_setting('placewire.server', true) IS DISTINCT FROM epoch.system_identifier::text THEN
        reason := es.adoption_reason();
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION 'the log has moved to this server and is not adopted (%)', reason
                  USING ERRCODE = 'ES004', HINT = 'Run `placewire adopt-log`.';
        END IF;
        PERFORM set_config('placewire.server', epoch.system_identifier::text, false);
    END IF;
    RETURN NULL;
END $$;
