-- Create the partitions for p_now's month and the next two. Drop the partitions whose rows are all older than p_kept. Return the
-- number of deleted rows. Runs with the owner's rights, so the caller needs no rights on the table. Waits at most 250 ms for a lock,
-- because recorded reads wait behind it. Rows of a month without a partition go to access_log_rest, so none is lost.
CREATE OR REPLACE FUNCTION maintain_access_log(p_now timestamptz, p_kept interval) RETURNS bigint
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
    -- Counted before a lock is held. Otherwise reads that must be recorded would wait for the scan.
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
