-- Take one of the system's locks alone, until the transaction ends. p_ids: what is locked, if the kind has several.
--   evaluation (drive)           evaluations of a drive; its deletion and its repair wait for them
--   registration (drive)         alone: status and criteria change; shared: students register
--   attendance (drive, student)  the sheet of one registration
--   criteria                     alone: criteria or status of a drive change; shared: marks change and drives are evaluated anew
--   heads                        the number of active HEAD accounts
--   erasures                     alone: an erasure; shared: the end of an export
CREATE OR REPLACE FUNCTION lock_exclusive(p_kind text, VARIADIC p_ids integer[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(':', p_kind, nullif(array_to_string(p_ids, '-'), '')), 0))
$$;
