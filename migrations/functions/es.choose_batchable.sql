-- Lock up to p_more waiting jobs that were never tried and whose event type is in p_batchable. Jobs with a subject of p_chosen come
-- first. The jobs will share transactions with those of p_chosen. So no job is taken if another worker runs a job of its subject: it
-- would make the others wait. Plan: two scans of job_unfinished, and event_event_id and the primary key for each job.
--
-- requires: es.lease_has_expired
CREATE OR REPLACE FUNCTION es.choose_batchable(p_service text, p_chosen uuid[], p_more integer, p_lease interval, p_batchable text[],
                                p_window integer)
RETURNS SETOF uuid
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    WITH waiting AS MATERIALIZED (
        SELECT j.id, j.seq, j.subject FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND es.lease_has_expired(j.lease_until, p_lease)
           AND j.attempts = 0 AND j.id <> ALL (p_chosen)
         ORDER BY j.seq LIMIT greatest(p_window, p_more)
    ), held AS MATERIALIZED (
        SELECT u.subject
          FROM (SELECT j.subject, j.lease_until FROM es.job j
                 WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq
                 LIMIT 2 * greatest(p_window, p_more)) u
         WHERE NOT es.lease_has_expired(u.lease_until, p_lease)
    ), like_these AS MATERIALIZED (
        SELECT w.id, w.seq, w.subject IN (SELECT j.subject FROM es.job j WHERE j.id = ANY (p_chosen)) AS same_subject
          FROM waiting w
         WHERE (SELECT e.type FROM es.event e WHERE e.event_id = w.id) = ANY (p_batchable)
           AND w.subject NOT IN (SELECT h.subject FROM held h)
    )
    SELECT j.id FROM like_these l JOIN es.job j ON j.id = l.id
     WHERE j.state IN ('queued', 'running') AND es.lease_has_expired(j.lease_until, p_lease)
     ORDER BY l.same_subject DESC, l.seq LIMIT p_more FOR UPDATE OF j SKIP LOCKED;
END $$;
