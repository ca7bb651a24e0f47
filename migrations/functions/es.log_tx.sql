-- Return the newest transaction id begun by now, this transaction's own included. es.event.tx is never lower (es.append).
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.log_tx() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (greatest(pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)
            + es.log_offset())::text::xid8
$$;
