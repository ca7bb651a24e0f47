-- Lock up to p_slots of the p_window oldest waiting jobs, oldest first. A job comes last if another job of its subject (a drive, for
-- example) is running or chosen, because it would wait for that job's lock.
-- Of the jobs of a subject whose event type is in p_newest_wins, only the newest is chosen, and none while a newer one runs. The
-- others are its older_ids: they end when it ends. A newer job outside of the window is not seen. Then an older job runs, and either
-- ends as superseded or is followed by the newer one.
--
-- Plan: two scans of job_unfinished from its oldest entry, one over p_window waiting jobs, one over twice as many unfinished jobs. It
-- uses event_event_id for running jobs and for subjects with several jobs, and the primary key for each candidate.
-- The last step tests state: with finished_at, the planner may scan the whole partial index for each candidate. The settings exclude
-- other plans, because a cached plan does not know how many jobs a claim takes.
--
-- requires: es.lease_has_expired
CREATE OR REPLACE FUNCTION es.choose_jobs(p_service text, p_slots integer, p_lease interval, p_newest_wins text[], p_window integer)
RETURNS TABLE (id uuid, older_ids uuid[])
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH waiting AS MATERIALIZED (
        SELECT j.id, j.seq, j.subject FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND es.lease_has_expired(j.lease_until, p_lease)
         ORDER BY j.seq LIMIT p_window
    ), held AS MATERIALIZED (
        SELECT u.subject, max(u.seq) FILTER (
                   WHERE (SELECT e.type FROM es.event e WHERE e.event_id = u.id) = ANY (p_newest_wins)) AS newest_seq
          FROM (SELECT j.id, j.seq, j.subject, j.lease_until FROM es.job j
                 WHERE j.service = p_service AND j.finished_at IS NULL ORDER BY j.seq LIMIT 2 * p_window) u
         WHERE NOT es.lease_has_expired(u.lease_until, p_lease)
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
     WHERE j.state IN ('queued', 'running') AND es.lease_has_expired(j.lease_until, p_lease)
     ORDER BY c.waits, c.seq LIMIT p_slots FOR UPDATE OF j SKIP LOCKED;
END $$;
