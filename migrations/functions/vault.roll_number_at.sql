-- Return one row with the roll number that a student had at p_at, according to the log. Inlined when p_at is a column.
-- Plan: event_stream_version backward, then person_pkey.
--
-- requires: vault.shown_roll_number
CREATE OR REPLACE FUNCTION vault.roll_number_at(p_person integer, p_at timestamptz) RETURNS TABLE (roll_number text)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT vault.shown_roll_number(v.roll_number, p_person)
      FROM (SELECT coalesce((
                SELECT (e.data ->> 'person_version')::integer FROM es.event e
                 WHERE e.stream_id = 'user-' || p_person AND e.recorded_at <= p_at
                   AND e.type = 'placewire.user.details-revised.v1'
                 ORDER BY e.version DESC LIMIT 1), 1) AS version) past
      LEFT JOIN vault.person v ON v.person_id = p_person AND v.version = past.version
$$;
