-- The lists of jobs, newest first, have indexes in an order of their own. With one of es.job (seq) the planner could take the
-- oldest that wait, or count from the oldest, along all jobs that ever were, and did so when the last ANALYZE had seen most
-- of them unfinished: a worker in the middle of a burst of 100,000 claimed at a third of its pace, and slower with each job
-- that ended. Now only job_unfinished has (service, seq), and it holds what has not ended.
DROP INDEX es.job_seq;
DROP INDEX es.job_asked_by;
CREATE INDEX job_newest ON es.job ((-seq));
CREATE INDEX job_asked_by ON es.job (asked_by, (-seq));

-- Kept plans, as in 0013. How many a claim takes is not known to them, and a tenth of the table would be joined from end to
-- end: without other joins than nested loops and other scans than those of an index, in order, there is one way to do it.
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_seqscan = off;
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_bitmapscan = off;
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_hashjoin = off;
ALTER FUNCTION es.take(text, uuid[], text, integer, text, interval, text[], integer) SET enable_mergejoin = off;
