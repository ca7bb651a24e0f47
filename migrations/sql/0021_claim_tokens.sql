-- A claim does not wait for the disk. When Postgres crashed within the next moments the claim was forgotten, and a counter gave
-- its number to the next claim as well: two workers held the job with one fence. A random token is given once.

-- As in 0014: the strongest lock first, and not for long behind somebody who reads.
SET LOCAL lock_timeout = '3s';
LOCK TABLE es.job IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = DEFAULT;

-- Null: nobody holds the job. A new column, which needs no rewrite of the table; who holds a job now has lost it.
ALTER TABLE es.job DROP COLUMN fence;
ALTER TABLE es.job ADD COLUMN fence uuid;

DROP FUNCTION es.claim(text, integer, text, interval);
DROP FUNCTION es.claim_small(text, integer, text, interval, text[]);
DROP FUNCTION es.finish(uuid, bigint, text, jsonb, text, boolean);
DROP FUNCTION es.succeed(uuid[], bigint[], jsonb[], text[], text[], smallint[], jsonb[]);

-- Claims up to p_limit jobs that are received, or running with an expired lease, oldest first. A lease that ends later than
-- one begun now, with 5 s of slack, has expired (0018). Plan: index scan on job_unfinished.
CREATE FUNCTION es.claim(p_service text, p_limit integer, p_owner text, p_lease interval)
RETURNS TABLE (id uuid, fence uuid, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT j.id FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND j.received_at IS NOT NULL
           AND (j.lease_until < clock_timestamp() OR j.lease_until > clock_timestamp() + p_lease + interval '5 s')
         ORDER BY j.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = gen_random_uuid(), attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
          FROM waiting w WHERE j.id = w.id
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.via, c.queued_at, e.version, e.type, e.data, e.metadata
      FROM claimed c JOIN es.event e ON e.event_id = c.id ORDER BY c.seq
$$;

-- Like es.claim, but only jobs that nobody has tried yet and whose event is of one of p_types.
CREATE FUNCTION es.claim_small(p_service text, p_limit integer, p_owner text, p_lease interval, p_types text[])
RETURNS TABLE (id uuid, fence uuid, attempts integer, kind text, subject text, asked_by integer, via text,
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
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = gen_random_uuid(), attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
          FROM waiting w WHERE j.id = w.id
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.via, c.queued_at, w.version, w.type, w.data, w.metadata
      FROM claimed c JOIN waiting w ON w.id = c.id ORDER BY c.seq
$$;

-- What a worker takes in one round trip, and without waiting for the disk (es.take until 0020). A crash may forget it: the job
-- is then queued again, the sweep brings it, and the forgotten token is worth nothing.
--
-- p_ids become received, where they are queued (a second delivery, an unknown id and a job of another service change
-- nothing); null: jobs are claimed only. Then up to p_slots jobs are claimed, oldest first; and for each of them that is of
-- one of p_small (event types of which several share a transaction) and was never tried before, up to p_more others like it.
-- Returns a row for each id that was new and for each claim; one may be both.
-- Plans: job_pkey; job_unfinished, for each job of the second claim the event by its id. The settings: see 0014.
CREATE FUNCTION es.receive_and_claim(p_service text, p_ids uuid[], p_via text, p_slots integer, p_owner text,
                                     p_lease interval, p_small text[], p_more integer)
RETURNS TABLE (received uuid, id uuid, fence uuid, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    brought uuid[];
    small integer := 0;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_ids IS NOT NULL THEN
        brought := ARRAY(SELECT es.receive(p_service, p_ids, p_via));
        RETURN QUERY SELECT b, NULL::uuid, NULL::uuid, NULL::integer, NULL, NULL, NULL::integer, NULL,
                            NULL::timestamptz, NULL::bigint, NULL, NULL::jsonb, NULL::jsonb FROM unnest(brought) b;
        IF cardinality(brought) = 0 THEN
            RETURN;
        END IF;
    END IF;
    FOR id, fence, attempts, kind, subject, asked_by, via, queued_at, stream_version, type, data, metadata IN
        SELECT * FROM es.claim(p_service, p_slots, p_owner, p_lease)
    LOOP
        small := small + (attempts = 1 AND type = ANY (p_small))::integer;
        RETURN NEXT;
    END LOOP;
    IF small > 0 AND (brought IS NULL OR cardinality(brought) > p_slots) THEN
        RETURN QUERY SELECT NULL::uuid, s.* FROM es.claim_small(p_service, small * p_more, p_owner, p_lease, p_small) s;
    END IF;
END $$;

-- For workers of the release before, which count fences: they go on receiving jobs, and claim none.
CREATE OR REPLACE FUNCTION es.take(p_service text, p_ids uuid[], p_via text, p_slots integer, p_owner text, p_lease interval,
                                   p_small text[], p_more integer)
RETURNS TABLE (received uuid, id uuid, fence bigint, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_ids IS NOT NULL THEN
        RETURN QUERY SELECT b, NULL::uuid, NULL::bigint, NULL::integer, NULL, NULL, NULL::integer, NULL,
                            NULL::timestamptz, NULL::bigint, NULL, NULL::jsonb, NULL::jsonb
                       FROM es.receive(p_service, p_ids, p_via) b;
    END IF;
END $$;

-- Ends a running job. Raises ES002 when p_fence is not the job's token any more: another worker runs it, or it has ended.
CREATE FUNCTION es.finish(p_id uuid, p_fence uuid, p_state text, p_result jsonb, p_error text, p_dead boolean)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE es.job SET state = p_state, result = p_result, error = p_error, dead = p_dead,
           finished_at = clock_timestamp(), lease_until = '-infinity'
     WHERE id = p_id AND fence = p_fence AND finished_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % is no longer held with fence %', p_id, p_fence USING ERRCODE = 'ES002';
    END IF;
END $$;

-- Ends jobs as done, each with its result, after appending the events: event i of the last four arrays goes to a stream
-- wherever it stands, in their order. Raises as es.append and es.finish do.
CREATE FUNCTION es.succeed(p_ids uuid[], p_fences uuid[], p_results jsonb[],
                           p_streams text[], p_topics text[], p_lanes smallint[], p_events jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es.append(one.stream, -1, one.topic, one.lane, one.events)
       FROM unnest(p_streams, p_topics, p_lanes, p_events) AS one (stream, topic, lane, events);
    PERFORM es.finish(ended.id, ended.fence, 'succeeded', ended.result, NULL, false)
       FROM unnest(p_ids, p_fences, p_results) AS ended (id, fence, result);
END $$;
