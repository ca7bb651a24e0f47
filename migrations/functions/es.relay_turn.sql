-- Delete the rows that Kafka received. Return the next ones: first of the jobs lane (0), then a limited number of the bulk lane (1).
-- Plan: es.next_outbox_rows, and the primary key. The settings exclude two plans. A plan cached while the table fits on a page is a
-- sequential scan, which reads every dead row until a vacuum (10,000 sent rows: some milliseconds a call). A bitmap scan does not
-- mark index entries of dead rows as dead, so each call reads all of them again.
--
-- requires: es.next_outbox_rows
CREATE OR REPLACE FUNCTION es.relay_turn(p_sent bigint[], p_jobs integer, p_bulk integer)
RETURNS TABLE (lane smallint, id bigint, topic text, key text, extra jsonb, event_id uuid, type text, data jsonb,
               metadata jsonb, stream_id text, version bigint, recorded_at timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    IF cardinality(p_sent) > 0 THEN
        DELETE FROM es.outbox o WHERE o.id = ANY (p_sent);
    END IF;
    RETURN QUERY SELECT * FROM es.next_outbox_rows(0::smallint, p_jobs);
    RETURN QUERY SELECT * FROM es.next_outbox_rows(1::smallint, p_bulk);
END $$;
