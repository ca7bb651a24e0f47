-- Materialized view: the number of registrations of each drive. Deleted drives are left out.
DROP MATERIALIZED VIEW IF EXISTS registrations_per_drive;
CREATE MATERIALIZED VIEW registrations_per_drive AS
SELECT d.drive_id, d.company_name, d.job_title, d.created_at, coalesce(r.registrations, 0) AS registrations
  FROM drives d
  LEFT JOIN (SELECT drive_id, count(*)::integer AS registrations FROM registrations GROUP BY drive_id) r USING (drive_id);
CREATE UNIQUE INDEX registrations_per_drive_drive ON registrations_per_drive (drive_id);
