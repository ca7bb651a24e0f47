-- Take an advisory lock exclusively, until the transaction ends. p_ids: the ids that a lock of this kind is for.
--   evaluation (drive)           exclusive: evaluations, deletion and repair of a drive
--   registration (drive)         exclusive: changes of status and criteria; shared: registrations of students
--   attendance (drive, student)  exclusive: attendance marks of one registration
--   criteria                     exclusive: changes of a drive's criteria or status; shared: changes of marks, and reevaluations
--   heads                        exclusive: changes of the number of active HEAD accounts
--   erasures                     exclusive: an erasure; shared: the end of an export
CREATE OR REPLACE FUNCTION lock_exclusive(p_kind text, VARIADIC p_ids integer[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(':', p_kind, nullif(array_to_string(p_ids, '-'), '')), 0))
$$;
