-- One turn of the relay in one round trip: what Kafka took goes, what is to be sent next comes, the jobs' lane (0) first, then
-- a bounded part of the other (1). Rows behind a quarantined one of the same topic and key stay.
-- Plan, each lane: index scan on outbox_lane, for each row its event by event_id and a look into outbox_quarantine.
CREATE FUNCTION es.relay_turn(p_sent bigint[], p_jobs integer, p_bulk integer)
RETURNS TABLE (lane smallint, id bigint, topic text, key text, extra jsonb, event_id uuid, type text, data jsonb,
               metadata jsonb, stream_id text, version bigint, recorded_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(p_sent) > 0 THEN
        DELETE FROM es.outbox o WHERE o.id = ANY (p_sent);
    END IF;
    RETURN QUERY SELECT * FROM es.outbox_to_send(0::smallint, p_jobs);
    RETURN QUERY SELECT * FROM es.outbox_to_send(1::smallint, p_bulk);
END $$;

CREATE FUNCTION es.outbox_to_send(p_lane smallint, p_most integer)
RETURNS TABLE (lane smallint, id bigint, topic text, key text, extra jsonb, event_id uuid, type text, data jsonb,
               metadata jsonb, stream_id text, version bigint, recorded_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT o.lane, o.id, o.topic, o.key, o.extra, o.event_id, e.type, e.data, e.metadata, e.stream_id, e.version, e.recorded_at
      FROM es.outbox o LEFT JOIN es.event e ON e.event_id = o.event_id
     WHERE o.lane = p_lane AND o.quarantined_at IS NULL
       AND NOT EXISTS (
           SELECT FROM es.outbox q WHERE q.key = o.key AND q.topic = o.topic AND q.quarantined_at IS NOT NULL)
     ORDER BY o.id LIMIT p_most
$$;
