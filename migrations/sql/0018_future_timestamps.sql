-- Timestamps written while the database's clock was ahead lie in the future once the clock is corrected. Nothing may wait
-- until real time reaches them: a timestamp that no correct clock can have written counts as expired. The slack of 5 s
-- allows for a clock that is being slewed.

-- Seconds since p_at. Infinity when p_at lies in the future: its age is unknown, and nothing may wait for it.
CREATE FUNCTION es.age_s(p_at timestamptz) RETURNS double precision LANGUAGE sql AS $$
    SELECT CASE WHEN p_at > clock_timestamp() + interval '5 s' THEN 'infinity'::double precision
                ELSE extract(epoch FROM clock_timestamp() - p_at)::double precision END
$$;

-- As before (0001), but a lease that ends later than one begun now (with the slack) counts as expired.
CREATE OR REPLACE FUNCTION es.claim(p_service text, p_limit integer, p_owner text, p_lease interval)
RETURNS TABLE (id uuid, fence bigint, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT j.id FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND j.received_at IS NOT NULL
           AND (j.lease_until < clock_timestamp() OR j.lease_until > clock_timestamp() + p_lease + interval '5 s')
         ORDER BY j.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = j.fence + 1, attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
          FROM waiting w WHERE j.id = w.id
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.via, c.queued_at, e.version, e.type, e.data, e.metadata
      FROM claimed c JOIN es.event e ON e.event_id = c.id ORDER BY c.seq
$$;

-- As before (0011), with the same rule.
CREATE OR REPLACE FUNCTION es.claim_small(p_service text, p_limit integer, p_owner text, p_lease interval, p_types text[])
RETURNS TABLE (id uuid, fence bigint, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT j.id, e.version, e.type, e.data, e.metadata
          FROM es.job j JOIN es.event e ON e.event_id = j.id
         WHERE j.service = p_service AND j.finished_at IS NULL AND j.received_at IS NOT NULL AND j.attempts = 0
           AND (j.lease_until < clock_timestamp() OR j.lease_until > clock_timestamp() + p_lease + interval '5 s')
           AND e.type = ANY (p_types)
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
