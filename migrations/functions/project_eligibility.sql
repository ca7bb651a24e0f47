-- Projection: evaluations. An evaluation of only some students (`students`) updates the figures, but does not count as an evaluation
-- of a version of the drive. A late evaluation of a deleted drive writes no row, because the drive's stream and this one may be
-- read in any order.
CREATE OR REPLACE FUNCTION project_eligibility(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO evaluations (drive_id, drive_version, job_id, applied, eligible, selected, evaluated_at)
    SELECT DISTINCT ON (1) (e.data ->> 'drive_id')::integer, (e.data ->> 'drive_version')::bigint,
           (e.data ->> 'job_id')::uuid, (e.data ->> 'applied')::boolean, (e.data ->> 'eligible')::integer,
           (e.data #>> '{selected,count}')::integer, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.eligibility.evaluated.v1' AND coalesce(e.data -> 'students', 'null') = 'null'
     ORDER BY 1, e.version DESC
    ON CONFLICT (drive_id) DO UPDATE
       SET drive_version = excluded.drive_version, job_id = excluded.job_id, applied = excluded.applied,
           eligible = excluded.eligible, selected = excluded.selected, evaluated_at = excluded.evaluated_at;

    UPDATE evaluations v
       SET eligible = (e.data ->> 'eligible')::integer, selected = (e.data #>> '{selected,count}')::integer,
           evaluated_at = e.recorded_at
      FROM (SELECT DISTINCT ON (stream_id) * FROM unnest(events)
             WHERE type = 'placewire.eligibility.evaluated.v1' ORDER BY stream_id, version DESC) e
     WHERE v.drive_id = (e.data ->> 'drive_id')::integer AND coalesce(e.data -> 'students', 'null') <> 'null';
END $$;
