-- Partitions of access_log. Applied by every migration; idempotent. Afterwards maintenance creates and drops them.

-- Rows of a month without a partition of its own. So a missing partition never makes a read fail, or loses its record.
CREATE TABLE IF NOT EXISTS access_log_rest PARTITION OF access_log DEFAULT;

-- The first ones. Later calls use the configured retention.
SELECT maintain_access_log(clock_timestamp(), interval '1 year')
 WHERE (SELECT count(*) FROM pg_inherits WHERE inhparent = 'access_log'::regclass) = 1;
