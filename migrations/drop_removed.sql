-- Drop the objects that an earlier release applied and this release does not have. Applied by every migration, after the functions.
-- Objects of a later release stay: an earlier release's `placewire migrate` does not change them.
DO $$
DECLARE
    removed CONSTANT text[] := ARRAY (
        SELECT name FROM public.schema_object
         WHERE name <> ALL (:'names'::text[])
           AND string_to_array(release, '.')::integer[] <= string_to_array(:'release', '.')::integer[]);
    statement text;
BEGIN
    -- One statement drops all objects of a kind, because one object may depend on another.
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
