-- Return "Company - Job" at version p_version of the drive's stream. Reads the log, because a replay may have projected later events
-- of the drive already. Plan: index scan backward on event_stream_version.
CREATE OR REPLACE FUNCTION drive_name_at(p_drive_id integer, p_version bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (data #>> '{posting,company_name}') || ' - ' || (data #>> '{posting,job_title}')
      FROM es.event
     WHERE stream_id = 'drive-' || p_drive_id AND version <= p_version AND data ? 'posting'
     ORDER BY version DESC LIMIT 1
$$;
