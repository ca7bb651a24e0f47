-- Materialized view: drives with at least one mark, and their marks.
DROP MATERIALIZED VIEW IF EXISTS attendance_trend;
CREATE MATERIALIZED VIEW attendance_trend AS
SELECT d.drive_id, d.created_at, a.present, a.absent
  FROM drives d
  JOIN (SELECT drive_id, count(*) FILTER (WHERE status = 'PRESENT')::integer AS present,
               count(*) FILTER (WHERE status = 'ABSENT')::integer AS absent
          FROM attendance GROUP BY drive_id) a USING (drive_id);
CREATE UNIQUE INDEX attendance_trend_drive ON attendance_trend (drive_id);
