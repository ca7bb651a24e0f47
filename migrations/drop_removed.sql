-- Drop what an earlier release applied and this one no longer has. Applied by every migration, after everything else.
-- A later release's objects stay: `placewire migrate` of an earlier release changes nothing of them.
DO $$
DECLARE
    removed CONSTANT text[] := ARRAY (
        SELECT name FROM public.schema_object
         WHERE name <> ALL (:'names'::text[])
           AND string_to_array(release, '.')::integer[] <= string_to_array(:'release', '.')::integer[]);
    statement text;
BEGIN
    -- Of one kind all at once, because one may need another.
    FOR statement IN
        SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
          FROM unnest(removed) AS name JOIN pg_trigger ON tgrelid = to_regclass(regexp_replace(name, '_triggers$', ''))
         WHERE name LIKE '%\_triggers' AND NOT tgisinternal
        UNION ALL
        SELECT format('DROP %s %s', kind, string_agg(c.oid::regclass::text, ', '))
          FROM unnest(removed) AS name JOIN pg_class c ON c.oid = to_regclass(name)
          JOIN (VALUES ('v'::"char", 'VIEW'), ('m', 'MATERIALIZED VIEW')) AS kinds (relkind, kind) USING (relkind)
         GROUP BY kind
        UNION ALL
        SELECT format('DROP FUNCTION %s', string_agg(p.oid::regprocedure::text, ', '))
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || proname = ANY (removed)
        HAVING count(*) > 0
        UNION ALL
        SELECT format('DROP TYPE %s', string_agg(c.oid::regclass::text, ', '))
          FROM unnest(removed) AS name JOIN pg_class c ON c.oid = to_regclass(name) AND relkind = 'c'
        HAVING count(*) > 0
    LOOP
        EXECUTE statement;
    END LOOP;
    DELETE FROM public.schema_object WHERE name = ANY (removed);
END $$;
