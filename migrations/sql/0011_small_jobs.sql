-- Like es.claim, but only jobs that nobody has tried yet and whose event is of one of p_types: what is small enough to
-- share a transaction. Plan: index scan on job_unfinished, for each job the event by its id.
CREATE FUNCTION es.claim_small(p_service text, p_limit integer, p_owner text, p_lease interval, p_types text[])
RETURNS TABLE (id uuid, fence bigint, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT j.id, e.version, e.type, e.data, e.metadata
          FROM es.job j JOIN es.event e ON e.event_id = j.id
         WHERE j.service = p_service AND j.finished_at IS NULL AND j.received_at IS NOT NULL AND j.attempts = 0
           AND j.lease_until < clock_timestamp() AND e.type = ANY (p_types)
         ORDER BY j.seq LIMIT p_limit FOR UPDATE OF j SKIP LOCKED
    ), claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = j.fence + 1, attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
          FROM waiting w WHERE j.id = w.id
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.via, c.queued_at, w.version, w.type, w.data, w.metadata
      FROM claimed c JOIN waiting w ON w.id = c.id ORDER BY c.seq
$$;
