-- Return the limit up to which readers may read the log. All transactions below it have ended, so no new event can appear there.
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.log_horizon() RETURNS xid8 LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + es.log_offset())::text::xid8
$$;
