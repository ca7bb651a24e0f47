-- Return the code of the reason why `placewire adopt-log` must run before any process writes to this log; null if it need not run.
-- It need not run after a restore of a whole server, a promotion of a standby, or a restore of a dump into the same server.
--   NO_EPOCH         the schema was restored without its rows
--   OTHER_SERVER     the rows come from another server: a restored dump, logical replication, pg_upgrade
--   AHEAD_OF_SERVER  recorded values are above this server's transaction ids, so readers would not see those events
--   OFFSET_DIFFERS   es.log_offset() is not the offset of the current epoch
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.adoption_reason() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT CASE
               WHEN e.number IS NULL THEN 'NO_EPOCH'
               WHEN e.system_identifier <> (SELECT c.system_identifier FROM pg_control_system() c) THEN 'OTHER_SERVER'
               WHEN e.xid_offset <> es.log_offset() THEN 'OFFSET_DIFFERS'
               -- Normally this range of the index is empty, so the check costs nothing, even while a large import runs.
               WHEN EXISTS (
                   SELECT FROM es.event v
                    WHERE v.tx > (greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1,
                                           pg_current_xact_id_if_assigned()::text::bigint) + e.xid_offset)::text::xid8)
               THEN 'AHEAD_OF_SERVER'
           END
      FROM (SELECT) one LEFT JOIN LATERAL (SELECT * FROM es.epoch p ORDER BY p.number DESC LIMIT 1) e ON true
$$;
