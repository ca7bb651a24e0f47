-- Workers claim queued jobs themselves. A Kafka record, an HTTP request and the poll only wake a worker: the state received,
-- the functions that led to it and the table of unreadable records are gone. Stop every process of the release before first:
-- it reads columns that this removes.

-- As in 0014: the strongest lock first, and not for long behind a reader.
SET LOCAL lock_timeout = '3s';
LOCK TABLE es.job IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = DEFAULT;

UPDATE es.job SET state = 'queued' WHERE state = 'received';
ALTER TABLE es.job DROP COLUMN received_at;
-- Who woke the worker first: kafka, http or poll. Null: nobody has yet.
ALTER TABLE es.job RENAME COLUMN via TO channel;
UPDATE es.job SET channel = CASE channel WHEN 'bus' THEN 'kafka' ELSE 'poll' END WHERE channel IN ('bus', 'sweep');

DROP FUNCTION es.receive_and_claim(text, uuid[], text, integer, text, interval, text[], integer);
DROP FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer);
DROP FUNCTION es.claim_small(text, integer, text, interval, text[]);
DROP FUNCTION es.claim(text, integer, text, interval);
DROP FUNCTION es.receive(text, uuid[], text);
DROP FUNCTION es.succeed(uuid[], uuid[], jsonb[], text[], text[], smallint[], jsonb[]);
DROP FUNCTION es.finish(uuid, uuid, text, jsonb, text, boolean);

-- Nothing is lost with an unreadable record: its job is a row here. What was done about such records stays as history.
ALTER TABLE es.dead_letter_action DROP COLUMN undecodable_id;
DROP TABLE es.undecodable;

-- Whether nobody holds a job with this lease. A lease that ends later than one of p_lease begun now, with 5 s of slack, was
-- written while the clock was ahead, and has expired (0018).
CREATE FUNCTION es.is_free(p_lease_until timestamptz, p_lease interval) RETURNS boolean LANGUAGE sql AS $$
    SELECT p_lease_until < clock_timestamp() OR p_lease_until > clock_timestamp() + p_lease + interval '5 s'
$$;

-- Claims queued jobs, and running ones whose lease has expired: one for each of p_slots, and for each of these whose event is
-- of p_small and that was never tried, up to p_together - 1 more like it. Does not wait for the disk: a claim that a crash
-- forgets leaves the job queued, and its token is never given again.
--
-- Oldest first, among the oldest p_window; but a job whose subject (a drive, say) has another job running or chosen comes
-- after those of other subjects, because it would wait for that job's lock. Of several jobs of one subject whose events are of
-- p_newest_wins only the newest is claimed, and none while a newer one runs. Its older_ids are the others: they end with it.
-- (A newer one beyond the window is not seen. Then an older job runs, and finds itself superseded or is followed by it.)
--
-- Plan: three scans of job_unfinished from its oldest entry, each of p_window waiting jobs or twice as many unfinished ones;
-- event_event_id for jobs that run, those of subjects that have several, and those claimed.
CREATE FUNCTION es.claim(p_service text, p_slots integer, p_owner text, p_lease interval, p_small text[], p_together integer,
                         p_newest_wins text[], p_window integer DEFAULT 200)
RETURNS TABLE (id uuid, fence uuid, attempts integer, kind text, subject text, asked_by integer, queued_at timestamptz,
               older_ids uuid[], stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    chosen uuid[];
    older jsonb;
    small integer;
    more uuid[];
BEGIN
    -- Many wake-ups find nothing: this costs a third of what the statement below does then.
    IF NOT EXISTS (SELECT FROM es.job j
                    WHERE j.service = p_service AND j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);

    WITH waiting AS MATERIALIZED (
        SELECT j.id, j.seq, j.subject FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)
         ORDER BY j.seq LIMIT p_window
    ), held AS MATERIALIZED (
        SELECT u.subject, max(u.seq) FILTER (WHERE e.type = ANY (p_newest_wins)) AS newest_seq
          FROM (SELECT j.id, j.seq, j.subject, j.lease_until FROM es.job j
                 WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq LIMIT 2 * p_window) u
          JOIN es.event e ON e.event_id = u.id
         WHERE NOT es.is_free(u.lease_until, p_lease)
         GROUP BY u.subject
    ), of_subject AS (
        SELECT w.*, count(*) OVER (PARTITION BY w.subject) AS jobs FROM waiting w
    ), typed AS (
        SELECT o.*, e.type = ANY (p_newest_wins) AS replaced_by_newer
          FROM of_subject o LEFT JOIN es.event e
            ON (o.jobs > 1 OR o.subject IN (SELECT h.subject FROM held h)) AND e.event_id = o.id
    ), ordered AS (
        SELECT t.id, t.seq, t.subject, t.replaced_by_newer,
               row_number() OVER (PARTITION BY t.subject, t.replaced_by_newer ORDER BY t.seq DESC) AS newest_first,
               array_agg(t.id) OVER (PARTITION BY t.subject, t.replaced_by_newer ORDER BY t.seq DESC
                                     ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS older_ids,
               row_number() OVER (PARTITION BY t.subject ORDER BY t.seq) AS place
          FROM typed t
    ), candidates AS MATERIALIZED (
        SELECT o.id, o.seq, CASE WHEN o.replaced_by_newer THEN o.older_ids END AS older_ids,
               h.subject IS NOT NULL OR (o.place > 1 AND o.replaced_by_newer IS NOT TRUE) AS waits
          FROM ordered o LEFT JOIN held h ON h.subject = o.subject
         WHERE o.replaced_by_newer IS NOT TRUE OR (o.newest_first = 1 AND o.seq > coalesce(h.newest_seq, 0))
    ), locked AS (
        SELECT j.id, c.older_ids, j.attempts
          FROM candidates c JOIN es.job j ON j.id = c.id
         WHERE j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)
         ORDER BY c.waits, c.seq LIMIT p_slots FOR UPDATE OF j SKIP LOCKED
    )
    SELECT array_agg(l.id), jsonb_object_agg(l.id, to_jsonb(l.older_ids)) FILTER (WHERE cardinality(l.older_ids) > 0),
           count(*) FILTER (WHERE l.attempts = 0 AND (SELECT e.type FROM es.event e WHERE e.event_id = l.id) = ANY (p_small))
      INTO chosen, older, small FROM locked l;
    IF chosen IS NULL THEN
        RETURN;
    END IF;

    IF small > 0 AND p_together > 1 THEN
        WITH waiting AS MATERIALIZED (
            SELECT j.id, j.seq, j.subject FROM es.job j
             WHERE j.service = p_service AND j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)
               AND j.attempts = 0 AND j.id <> ALL (chosen)
             ORDER BY j.seq LIMIT greatest(p_window, small * p_together)
        ), like_these AS MATERIALIZED (
            SELECT w.id, w.seq, w.subject IN (SELECT j.subject FROM es.job j WHERE j.id = ANY (chosen)) AS same_subject
              FROM waiting w JOIN es.event e ON e.event_id = w.id
             WHERE e.type = ANY (p_small)
        ), locked AS (
            SELECT j.id FROM like_these l JOIN es.job j ON j.id = l.id
             WHERE j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)
             ORDER BY l.same_subject DESC, l.seq LIMIT small * (p_together - 1) FOR UPDATE OF j SKIP LOCKED
        )
        SELECT array_agg(l.id) INTO more FROM locked l;
    END IF;

    RETURN QUERY
    WITH claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = gen_random_uuid(), attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
         WHERE j.id = ANY (chosen || more)
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.queued_at,
           ARRAY(SELECT jsonb_array_elements_text(coalesce(older -> c.id::text, '[]'::jsonb))::uuid),
           e.version, e.type, e.data, e.metadata
      FROM claimed c JOIN es.event e ON e.event_id = c.id ORDER BY c.seq;
END $$;

-- Ends a running job. p_channel is recorded unless an earlier worker was woken for the job already.
-- Raises ES002 when p_fence is not the job's token any more: another worker runs it, or it has ended.
CREATE FUNCTION es.finish(p_id uuid, p_fence uuid, p_channel text, p_state text, p_result jsonb, p_error text, p_dead boolean)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE es.job SET state = p_state, result = p_result, error = p_error, dead = p_dead,
           channel = coalesce(channel, p_channel), finished_at = clock_timestamp(), lease_until = '-infinity'
     WHERE id = p_id AND fence = p_fence AND finished_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % is no longer held with fence %', p_id, p_fence USING ERRCODE = 'ES002';
    END IF;
END $$;

-- Ends jobs as done, each with its result, after appending the events: event i of the last four arrays goes to a stream
-- wherever it stands, in their order. Raises as es.append and es.finish do.
CREATE FUNCTION es.succeed(p_ids uuid[], p_fences uuid[], p_channels text[], p_results jsonb[],
                           p_streams text[], p_topics text[], p_lanes smallint[], p_events jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es.append(one.stream, -1, one.topic, one.lane, one.events)
       FROM unnest(p_streams, p_topics, p_lanes, p_events) AS one (stream, topic, lane, events);
    PERFORM es.finish(ended.id, ended.fence, ended.channel, 'succeeded', ended.result, NULL, false)
       FROM unnest(p_ids, p_fences, p_channels, p_results) AS ended (id, fence, channel, result);
END $$;
