-- Who has looked at students' records. One row for each read of one student's record by another person, and one for each list,
-- export or download that shows many students (student_id is then null). Ids only, no names.
CREATE TABLE access_log (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reader_id integer NOT NULL,
    reader_role text NOT NULL,
    operation text NOT NULL,
    student_id integer,
    correlation_id uuid NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX access_log_of_student ON access_log (student_id, at) WHERE student_id IS NOT NULL;
CREATE INDEX access_log_of_lists ON access_log (at) WHERE student_id IS NULL;
CREATE INDEX access_log_of_reader ON access_log (reader_id, at);

-- Rows of a month without a partition of its own. So a missing partition never makes a read fail, or loses its record.
CREATE TABLE access_log_rest PARTITION OF access_log DEFAULT;

-- Create the partitions of p_now's month and the two after it, and drop those whose rows are all older than p_kept. Return the number
-- of rows deleted. The caller needs no rights on the table. It waits 250 ms for a lock at most, because reads would wait behind it.
CREATE FUNCTION maintain_access_log(p_now timestamptz, p_kept interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '250ms' AS $$
DECLARE
    first_month CONSTANT timestamp := date_trunc('month', p_now AT TIME ZONE 'UTC');
    old_months CONSTANT text[] := ARRAY (
        SELECT c.relname::text
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'public.access_log'::regclass AND c.relname ~ '^access_log_\d{4}_\d{2}$'
           AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= p_now - p_kept);
    old_month text;
    part record;
    deleted bigint;
    total bigint := 0;
BEGIN
    -- Before any lock is held: reads that must be recorded would wait for a scan.
    FOREACH old_month IN ARRAY old_months LOOP
        EXECUTE format('SELECT count(*) FROM public.%I', old_month) INTO deleted;
        total := total + deleted;
    END LOOP;
    FOR part IN
        SELECT 'access_log_' || to_char(month, 'YYYY_MM') AS name, month AT TIME ZONE 'UTC' AS since,
               (month + interval '1 month') AT TIME ZONE 'UTC' AS until
          FROM generate_series(first_month, first_month + interval '2 months', interval '1 month') AS month
         WHERE to_regclass('public.access_log_' || to_char(month, 'YYYY_MM')) IS NULL
    LOOP
        EXECUTE format('CREATE TABLE public.%I (LIKE public.access_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                       part.name);
        LOCK TABLE access_log_rest IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM public.access_log_rest WHERE at >= $1 AND at < $2 RETURNING *)
                        INSERT INTO public.%I SELECT * FROM moved', part.name) USING part.since, part.until;
        EXECUTE format('ALTER TABLE public.access_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       part.name, part.since, part.until);
    END LOOP;
    FOREACH old_month IN ARRAY old_months LOOP
        EXECUTE format('DROP TABLE public.%I', old_month);
    END LOOP;
    DELETE FROM access_log_rest WHERE at <= p_now - p_kept;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN total + deleted;
END $$;
REVOKE EXECUTE ON FUNCTION maintain_access_log(timestamptz, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION maintain_access_log(timestamptz, interval) TO placewire_maintenance;
SELECT maintain_access_log(clock_timestamp(), interval '1 year');

GRANT SELECT, INSERT ON access_log TO placewire_api;
