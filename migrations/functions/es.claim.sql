-- Claim queued jobs, and running ones whose lease has expired: one for each of p_slots (es.choose_jobs). For each of these that was
-- never tried and whose event type is in p_batchable, claim up to p_batch_size - 1 further batchable jobs (es.choose_batchable).
-- Does not wait for the disk. If a crash loses the claim, the job is queued again. The token is random, so no later claim has it.
--
-- requires: es.choose_batchable, es.choose_jobs, es.lease_has_expired
CREATE OR REPLACE FUNCTION es.claim(p_service text, p_slots integer, p_owner text, p_lease interval, p_batchable text[], p_batch_size integer,
                         p_newest_wins text[], p_window integer DEFAULT 200)
RETURNS TABLE (id uuid, fence uuid, attempts integer, kind text, subject text, requested_by integer, queued_at timestamptz,
               older_ids uuid[], stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE plpgsql SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    looked_at CONSTANT integer := p_slots + 16;
    chosen uuid[];
    unfinished integer;
    subjects integer;
    older jsonb;
    batchable integer;
BEGIN
    -- The oldest unfinished jobs. Often there are no others, and then there is little or nothing to choose.
    SELECT count(*), count(DISTINCT u.subject), array_agg(u.id) FILTER (WHERE es.lease_has_expired(u.lease_until, p_lease))
      INTO unfinished, subjects, chosen
      FROM (SELECT j.id, j.subject, j.lease_until FROM es.job j
             WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq LIMIT looked_at) u;
    IF chosen IS NULL AND (unfinished < looked_at OR NOT EXISTS (
        SELECT FROM es.job j WHERE j.service = p_service AND j.finished_at IS NULL AND es.lease_has_expired(j.lease_until, p_lease)))
    THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);

    IF unfinished < looked_at AND subjects = unfinished AND cardinality(chosen) <= p_slots THEN
        -- There are no other jobs. Each has its own slot and its own subject.
        chosen := ARRAY(SELECT j.id FROM es.job j
                         WHERE j.id = ANY (chosen) AND j.state IN ('queued', 'running') AND es.lease_has_expired(j.lease_until, p_lease)
                           FOR UPDATE SKIP LOCKED);
    ELSE
        SELECT array_agg(c.id), jsonb_object_agg(c.id, to_jsonb(c.older_ids)) FILTER (WHERE cardinality(c.older_ids) > 0)
          INTO chosen, older FROM es.choose_jobs(p_service, p_slots, p_lease, p_newest_wins, p_window) c;
        SELECT count(*) INTO batchable FROM es.job j
         WHERE j.id = ANY (chosen) AND j.attempts = 0
           AND (SELECT e.type FROM es.event e WHERE e.event_id = j.id) = ANY (p_batchable);
        IF batchable > 0 AND p_batch_size > 1 THEN
            chosen := chosen || ARRAY(
                SELECT es.choose_batchable(p_service, chosen, batchable * (p_batch_size - 1), p_lease, p_batchable, p_window));
        END IF;
    END IF;

    RETURN QUERY
    WITH claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = gen_random_uuid(), attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
         WHERE j.id = ANY (chosen)
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.requested_by, c.queued_at,
           ARRAY(SELECT jsonb_array_elements_text(coalesce(older -> c.id::text, '[]'::jsonb))::uuid),
           e.version, e.type, e.data, e.metadata
      FROM claimed c
     CROSS JOIN LATERAL (SELECT v.version, v.type, v.data, v.metadata FROM es.event v WHERE v.event_id = c.id OFFSET 0) e
     ORDER BY c.seq;  -- not joined: statistics of a small table would lead to a scan of the whole index
END $$;
