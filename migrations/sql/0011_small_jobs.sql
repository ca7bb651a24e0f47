-- What a worker takes in one round trip, and without waiting for the disk: a crash forgets it, the job is still queued, and
-- the sweep brings it again.
--
-- p_ids become received, where they are queued (a second delivery, an unknown id and a job of another service change
-- nothing); null: nothing is brought, only claimed. Then up to p_slots jobs are claimed, oldest first; and for each of
-- them that is of one of p_small (event types of which several share a transaction) and was never tried before, up to
-- p_more others like it. Answers a row for each id that was new and for each claim; one may be both.
-- Plans: job_pkey; job_unfinished, for each job of the second claim the event by its id.
CREATE FUNCTION es.take(p_service text, p_ids uuid[], p_via text, p_slots integer, p_owner text, p_lease interval,
                        p_small text[], p_more integer)
RETURNS TABLE (received uuid, id uuid, fence bigint, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    brought uuid[];
    small integer := 0;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_ids IS NOT NULL THEN
        brought := ARRAY(SELECT es.receive(p_service, p_ids, p_via));
        RETURN QUERY SELECT b, NULL::uuid, NULL::bigint, NULL::integer, NULL, NULL, NULL::integer, NULL,
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

-- Like es.claim, but only jobs that nobody has tried yet and whose event is of one of p_types.
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

-- Ends jobs as done, each with its result, after the events that tell of them: event i of the last four arrays goes to a
-- stream wherever it stands, in their order. Raises as es.append and es.finish do.
CREATE FUNCTION es.succeed(p_ids uuid[], p_fences bigint[], p_results jsonb[],
                           p_streams text[], p_topics text[], p_lanes smallint[], p_events jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es.append(one.stream, -1, one.topic, one.lane, one.events)
       FROM unnest(p_streams, p_topics, p_lanes, p_events) AS one (stream, topic, lane, events);
    PERFORM es.finish(ended.id, ended.fence, 'succeeded', ended.result, NULL, false)
       FROM unnest(p_ids, p_fences, p_results) AS ended (id, fence, result);
END $$;
