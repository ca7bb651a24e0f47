-- Take an advisory lock in shared mode, until the transaction ends. Kinds: see lock_exclusive.
CREATE OR REPLACE FUNCTION lock_shared(p_kind text, VARIADIC p_ids integer[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock_shared(hashtextextended(concat_ws(':', p_kind, nullif(array_to_string(p_ids, '-'), '')), 0))
$$;
