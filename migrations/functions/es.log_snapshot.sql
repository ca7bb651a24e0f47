-- Return the current snapshot in recorded ids. pg_visible_in_snapshot(event.xid, …) works with it for events of all epochs.
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.log_snapshot() RETURNS pg_snapshot LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    own CONSTANT pg_snapshot := pg_current_snapshot();
    xid_offset CONSTANT bigint := es.log_offset();
BEGIN
    IF xid_offset = 0 THEN
        RETURN own;
    END IF;
    RETURN (SELECT format('%s:%s:%s', pg_snapshot_xmin(own)::text::bigint + xid_offset,
                          pg_snapshot_xmax(own)::text::bigint + xid_offset,
                          string_agg((xid::text::bigint + xid_offset)::text, ',' ORDER BY xid))::pg_snapshot
              FROM pg_snapshot_xip(own) AS xid);
END $$;
