-- Why `placewire adopt-log` is needed before anything may write here; null: it is not. A backup restored with its server, a
-- promoted standby and a dump restored into the same server need none.
--   NO_EPOCH         the schema was restored without its rows
--   OTHER_SERVER     the rows come from another server: a restored dump, logical replication, pg_upgrade
--   AHEAD_OF_SERVER  recorded values are above this server's transaction ids, so its readers would not see those events
--   OFFSET_DIFFERS   es.log_offset() is not the current epoch's
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.adoption_reason() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT CASE
               WHEN e.number IS NULL THEN 'NO_EPOCH'
               WHEN e.system_identifier <> (SELECT c.system_identifier FROM pg_control_system() c) THEN 'OTHER_SERVER'
               WHEN e.xid_offset <> es.log_offset() THEN 'OFFSET_DIFFERS'
               -- Normally an empty range of the index, so that it costs nothing while a large import runs.
               WHEN EXISTS (
                   SELECT FROM es.event v
                    WHERE v.tx > (greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1,
                                           pg_current_xact_id_if_assigned()::text::bigint) + e.xid_offset)::text::xid8)
               THEN 'AHEAD_OF_SERVER'
           END
      FROM (SELECT) one LEFT JOIN LATERAL (SELECT * FROM es.epoch p ORDER BY p.number DESC LIMIT 1) e ON true
$$;
