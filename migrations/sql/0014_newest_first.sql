-- Whoever reads es.job for long (placewire verify) must not make this wait with everybody else behind it: it fails, and the
-- migration is tried again. The strongest lock comes first: what builds an index and then wants to drop one waits for workers
-- who have read a job and wait for the index, and a deadlock ends it, each time. (A million jobs: the indexes take 1 s.)
SET LOCAL lock_timeout = '3s';
LOCK TABLE es.job IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = DEFAULT;

-- The lists of jobs, newest first, have indexes in an order of their own. With one of es.job (seq) the planner could take the
-- oldest that wait, or count from the oldest, along all jobs that ever were, and did so when the last ANALYZE had seen most
-- of them unfinished: a worker in the middle of a burst of 100,000 claimed at a third of its pace, and slower with each job
-- that ended. Now only job_unfinished has (service, seq), and it holds what has not ended. Until the API of this release
-- runs, a list of everyone's jobs sorts them all.
CREATE INDEX job_newest ON es.job ((-seq));
CREATE INDEX job_newest_asked_by ON es.job (asked_by, (-seq));
DROP INDEX es.job_seq;
DROP INDEX es.job_asked_by;

-- Kept plans, as in 0013. How many a claim takes is not known to them, and a tenth of the table would be joined from end to
-- end: without other joins than nested loops and other scans than those of an index, in order, there is one way to do it.
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_seqscan = off;
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_bitmapscan = off;
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_hashjoin = off;
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_mergejoin = off;
