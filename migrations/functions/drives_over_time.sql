-- Materialized view: a row for each drive, with its creation. Days depend on the campus's time zone (setting TZ), so the API
-- computes them.
DROP MATERIALIZED VIEW IF EXISTS drives_over_time;
CREATE MATERIALIZED VIEW drives_over_time AS
SELECT drive_id, created_at, status FROM drives;
CREATE UNIQUE INDEX drives_over_time_drive ON drives_over_time (drive_id);
