-- Return this transaction's id, as es.event.xid records it. Statements for many rows use (SELECT es.log_xid()), computed once.
--
-- requires: es.log_offset
CREATE OR REPLACE FUNCTION es.log_xid() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (pg_current_xact_id()::text::bigint + es.log_offset())::text::xid8
$$;
