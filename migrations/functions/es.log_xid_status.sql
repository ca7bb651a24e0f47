-- Return 'committed', 'aborted' or 'in progress' for a result of es.log_xid(). Null: the transaction ended on another server, or so
-- long ago that the status is gone. An id above the current snapshot counts as in progress.
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.log_xid_status(p_xid xid8) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    own CONSTANT xid8 := (p_xid::text::bigint - es.log_offset())::text::xid8;
BEGIN
    IF p_xid < (SELECT e.first_xid FROM es.epoch e ORDER BY e.number DESC LIMIT 1) THEN
        RETURN NULL;
    END IF;
    RETURN CASE WHEN own < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(own) ELSE 'in progress' END;
END $$;
