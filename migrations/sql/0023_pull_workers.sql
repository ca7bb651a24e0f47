-- Workers claim queued jobs themselves. A Kafka record, an HTTP request and the poll only wake a worker: the state received,
-- the functions that led to it and the table of unreadable records are gone. Stop every process of the release before first:
-- it reads columns that this removes.

-- As in 0014: the strongest lock first, and not for long behind a reader.
SET LOCAL lock_timeout = '3s';
LOCK TABLE es.job IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = DEFAULT;

UPDATE es.job SET state = 'queued' WHERE state = 'received';
ALTER TABLE es.job DROP COLUMN received_at;
-- What woke the worker first: kafka, http or poll. Null: the job has not ended.
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

-- Locks up to p_slots waiting jobs: oldest first, among the oldest p_window; but a job whose subject (a drive, say) has
-- another job running or chosen comes after those of other subjects, because it would wait for that job's lock. Of several
-- jobs of one subject whose events are of p_newest_wins only the newest is chosen, and none while a newer one runs. Its
-- older_ids are the others: they end with it.
-- (A newer one beyond the window is not seen. Then an older job runs, and finds itself superseded or is followed by it.)
--
-- Plan: two scans of job_unfinished from its oldest entry, one of p_window waiting jobs, one of twice as many unfinished ones;
-- event_event_id for jobs that run, and for those of subjects that have several; the primary key for each candidate. The last
-- step tests state: with finished_at the planner may scan the whole partial index for each candidate.
CREATE FUNCTION es.choose(p_service text, p_slots integer, p_lease interval, p_newest_wins text[], p_window integer)
RETURNS TABLE (id uuid, older_ids uuid[])
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH waiting AS MATERIALIZED (
        SELECT j.id, j.seq, j.subject FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)
         ORDER BY j.seq LIMIT p_window
    ), held AS MATERIALIZED (
        SELECT u.subject, max(u.seq) FILTER (
                   WHERE (SELECT e.type FROM es.event e WHERE e.event_id = u.id) = ANY (p_newest_wins)) AS newest_seq
          FROM (SELECT j.id, j.seq, j.subject, j.lease_until FROM es.job j
                 WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq LIMIT 2 * p_window) u
         WHERE NOT es.is_free(u.lease_until, p_lease)
         GROUP BY u.subject
    ), of_subject AS (
        SELECT w.*, count(*) OVER (PARTITION BY w.subject) AS jobs FROM waiting w
    ), typed AS (
        SELECT o.*, (SELECT e.type = ANY (p_newest_wins) FROM es.event e
                      WHERE (o.jobs > 1 OR o.subject IN (SELECT h.subject FROM held h)) AND e.event_id = o.id)
               AS replaced_by_newer
          FROM of_subject o
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
    )
    SELECT j.id, c.older_ids
      FROM candidates c JOIN es.job j ON j.id = c.id
     WHERE j.state IN ('queued', 'running') AND es.is_free(j.lease_until, p_lease)
     ORDER BY c.waits, c.seq LIMIT p_slots FOR UPDATE OF j SKIP LOCKED;
END $$;

-- Locks up to p_more waiting jobs that were never tried and whose events are of p_small, those of the subjects of p_chosen
-- first. They share transactions with jobs of p_chosen, so none is of a subject that another worker has a job of: it would make
-- the others wait. Plan: two scans of job_unfinished, and event_event_id and the primary key for each job.
CREATE FUNCTION es.choose_small(p_service text, p_chosen uuid[], p_more integer, p_lease interval, p_small text[],
                                p_window integer)
RETURNS SETOF uuid
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    WITH waiting AS MATERIALIZED (
        SELECT j.id, j.seq, j.subject FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)
           AND j.attempts = 0 AND j.id <> ALL (p_chosen)
         ORDER BY j.seq LIMIT greatest(p_window, p_more)
    ), held AS MATERIALIZED (
        SELECT u.subject
          FROM (SELECT j.subject, j.lease_until FROM es.job j
                 WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq
                 LIMIT 2 * greatest(p_window, p_more)) u
         WHERE NOT es.is_free(u.lease_until, p_lease)
    ), like_these AS MATERIALIZED (
        SELECT w.id, w.seq, w.subject IN (SELECT j.subject FROM es.job j WHERE j.id = ANY (p_chosen)) AS same_subject
          FROM waiting w
         WHERE (SELECT e.type FROM es.event e WHERE e.event_id = w.id) = ANY (p_small)
           AND w.subject NOT IN (SELECT h.subject FROM held h)
    )
    SELECT j.id FROM like_these l JOIN es.job j ON j.id = l.id
     WHERE j.state IN ('queued', 'running') AND es.is_free(j.lease_until, p_lease)
     ORDER BY l.same_subject DESC, l.seq LIMIT p_more FOR UPDATE OF j SKIP LOCKED;
END $$;

-- Claims queued jobs, and running ones whose lease has expired: one for each of p_slots (es.choose), and for each of these
-- whose event is of p_small and that was never tried, up to p_together - 1 more like it (es.choose_small). Does not wait for
-- the disk: a claim that a crash forgets leaves the job queued, and its token is never given again.
CREATE FUNCTION es.claim(p_service text, p_slots integer, p_owner text, p_lease interval, p_small text[], p_together integer,
                         p_newest_wins text[], p_window integer DEFAULT 200)
RETURNS TABLE (id uuid, fence uuid, attempts integer, kind text, subject text, asked_by integer, queued_at timestamptz,
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
    small integer;
BEGIN
    -- The oldest unfinished jobs: often these are all, and then there is little or nothing to choose.
    SELECT count(*), count(DISTINCT u.subject), array_agg(u.id) FILTER (WHERE es.is_free(u.lease_until, p_lease))
      INTO unfinished, subjects, chosen
      FROM (SELECT j.id, j.subject, j.lease_until FROM es.job j
             WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq LIMIT looked_at) u;
    IF chosen IS NULL AND (unfinished < looked_at OR NOT EXISTS (
        SELECT FROM es.job j WHERE j.service = p_service AND j.finished_at IS NULL AND es.is_free(j.lease_until, p_lease)))
    THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);

    IF unfinished < looked_at AND subjects = unfinished AND cardinality(chosen) <= p_slots THEN
        -- All were looked at, and each has a slot and a subject of its own.
        chosen := ARRAY(SELECT j.id FROM es.job j
                         WHERE j.id = ANY (chosen) AND j.state IN ('queued', 'running') AND es.is_free(j.lease_until, p_lease)
                           FOR UPDATE SKIP LOCKED);
    ELSE
        SELECT array_agg(c.id), jsonb_object_agg(c.id, to_jsonb(c.older_ids)) FILTER (WHERE cardinality(c.older_ids) > 0)
          INTO chosen, older FROM es.choose(p_service, p_slots, p_lease, p_newest_wins, p_window) c;
        SELECT count(*) INTO small FROM es.job j
         WHERE j.id = ANY (chosen) AND j.attempts = 0
           AND (SELECT e.type FROM es.event e WHERE e.event_id = j.id) = ANY (p_small);
        IF small > 0 AND p_together > 1 THEN
            chosen := chosen || ARRAY(
                SELECT es.choose_small(p_service, chosen, small * (p_together - 1), p_lease, p_small, p_window));
        END IF;
    END IF;

    RETURN QUERY
    WITH claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = gen_random_uuid(), attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
         WHERE j.id = ANY (chosen)
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.queued_at,
           ARRAY(SELECT jsonb_array_elements_text(coalesce(older -> c.id::text, '[]'::jsonb))::uuid),
           e.version, e.type, e.data, e.metadata
      FROM claimed c
     CROSS JOIN LATERAL (SELECT v.version, v.type, v.data, v.metadata FROM es.event v WHERE v.event_id = c.id OFFSET 0) e
     ORDER BY c.seq;  -- not joined: statistics of a small table would lead to a scan of the whole index
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
