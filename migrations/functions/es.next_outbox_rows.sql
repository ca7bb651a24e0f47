-- Return the next rows of one lane of the outbox, with their events. Rows whose topic and key have a quarantined row are skipped.
-- Plan: index scan on outbox_lane; for each row, event_event_id and outbox_quarantine.
CREATE OR REPLACE FUNCTION es.next_outbox_rows(p_lane smallint, p_limit integer)
RETURNS TABLE (lane smallint, id bigint, topic text, key text, extra jsonb, event_id uuid, type text, data jsonb,
               metadata jsonb, stream_id text, version bigint, recorded_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT o.lane, o.id, o.topic, o.key, o.extra, o.event_id, e.type, e.data, e.metadata, e.stream_id, e.version, e.recorded_at
      FROM es.outbox o LEFT JOIN es.event e ON e.event_id = o.event_id
     WHERE o.lane = p_lane AND o.quarantined_at IS NULL
       AND NOT EXISTS (
           SELECT FROM es.outbox q WHERE q.key = o.key AND q.topic = o.topic AND q.quarantined_at IS NOT NULL)
     ORDER BY o.id LIMIT p_limit
$$;
