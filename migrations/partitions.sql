-- The first partitions of access_log. Applied by every migration; idempotent. Later ones are created and dropped by maintenance.

-- Holds the rows of months without their own partition. So a missing partition loses no row and fails no request.
CREATE TABLE IF NOT EXISTS access_log_rest PARTITION OF access_log DEFAULT;

-- Creates the partitions of the current months. Later calls use the configured retention.
SELECT maintain_access_log(clock_timestamp(), interval '1 year')
 WHERE (SELECT count(*) FROM pg_inherits WHERE inhparent = 'access_log'::regclass) = 1;
