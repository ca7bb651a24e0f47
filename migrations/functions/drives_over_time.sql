-- Materialized view: the time of creation and the status of each drive. The API computes days, which depend on the campus's time
-- zone (setting TZ).
DROP MATERIALIZED VIEW IF EXISTS drives_over_time;
CREATE MATERIALIZED VIEW drives_over_time AS
SELECT drive_id, created_at, status FROM drives;
CREATE UNIQUE INDEX drives_over_time_drive ON drives_over_time (drive_id);
