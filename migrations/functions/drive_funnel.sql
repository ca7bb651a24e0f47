-- Materialized view: how many students of each drive are eligible, selected, registered and present. The first two come from the
-- newest evaluation.
DROP MATERIALIZED VIEW IF EXISTS drive_funnel;
CREATE MATERIALIZED VIEW drive_funnel AS
SELECT d.drive_id, d.company_name, d.job_title, d.status, d.created_at, coalesce(e.eligible, 0) AS eligible,
       coalesce(e.selected, 0) AS selected, coalesce(r.registered, 0) AS registered, coalesce(a.present, 0) AS present
  FROM drives d
  LEFT JOIN evaluations e USING (drive_id)
  LEFT JOIN (SELECT drive_id, count(*)::integer AS registered FROM registrations GROUP BY drive_id) r USING (drive_id)
  LEFT JOIN (SELECT drive_id, count(*)::integer AS present FROM attendance WHERE status = 'PRESENT' GROUP BY drive_id) a
       USING (drive_id);
CREATE UNIQUE INDEX drive_funnel_drive ON drive_funnel (drive_id);
