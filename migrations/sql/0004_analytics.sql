-- Materialized views for the dashboards, and who refreshes them. Each has a unique index, which a refresh beside readers
-- needs, and is filled here, which it needs too. Of a deleted drive nothing is counted.
CREATE MATERIALIZED VIEW registrations_per_drive AS
SELECT d.drive_id, d.company_name, d.job_title, d.created_at, coalesce(r.registrations, 0) AS registrations
  FROM drives d
  LEFT JOIN (SELECT drive_id, count(*)::integer AS registrations FROM registrations GROUP BY drive_id) r USING (drive_id);
CREATE UNIQUE INDEX registrations_per_drive_drive ON registrations_per_drive (drive_id);

-- A row for each drive: a window ends within a day, and one drive may be asked for alone. Days are UTC's.
CREATE MATERIALIZED VIEW drives_over_time AS
SELECT drive_id, (created_at AT TIME ZONE 'UTC')::date AS day, created_at, status FROM drives;
CREATE UNIQUE INDEX drives_over_time_drive ON drives_over_time (drive_id);

-- Drives with at least one mark, under the day on which they were created.
CREATE MATERIALIZED VIEW attendance_trend AS
SELECT d.drive_id, (d.created_at AT TIME ZONE 'UTC')::date AS day, d.created_at, a.present, a.absent
  FROM drives d
  JOIN (SELECT drive_id, count(*) FILTER (WHERE status = 'PRESENT')::integer AS present,
               count(*) FILTER (WHERE status = 'ABSENT')::integer AS absent
          FROM attendance GROUP BY drive_id) a USING (drive_id);
CREATE UNIQUE INDEX attendance_trend_drive ON attendance_trend (drive_id);

-- Students of each branch ('': none on record): all, those who meet the criteria of a published drive, those who
-- registered for one, those who were present at one. Who meets a set of criteria meets every looser one, so only the
-- loosest sets are tried: 1,000 drives have a handful, and a refresh takes a tenth of the time.
CREATE MATERIALIZED VIEW branch_counts AS
WITH asked AS MATERIALIZED (
    SELECT row_number() OVER () AS number, *
      FROM (SELECT DISTINCT min_cgpa, min_10th, min_12th, max_backlogs, branches, batch_years
              FROM drives WHERE status <> 'pending') d
), looser AS MATERIALIZED (
    SELECT l.number, s.number AS than
      FROM asked l JOIN asked s
        ON l.number <> s.number
       AND (l.min_cgpa IS NULL OR s.min_cgpa >= l.min_cgpa) AND (l.min_10th IS NULL OR s.min_10th >= l.min_10th)
       AND (l.min_12th IS NULL OR s.min_12th >= l.min_12th)
       AND (l.max_backlogs IS NULL OR s.max_backlogs <= l.max_backlogs)
       AND (l.branches IS NULL OR s.branches <@ l.branches)
       AND (l.batch_years IS NULL OR s.batch_years <@ l.batch_years)
), criteria AS MATERIALIZED (
    -- Two that are looser than each other are the same set, written differently: the first stays.
    SELECT * FROM asked a
     WHERE NOT EXISTS (
         SELECT FROM looser l
          WHERE l.than = a.number AND (l.number < a.number OR NOT EXISTS (
              SELECT FROM looser back WHERE back.number = a.number AND back.than = l.number)))
)
SELECT coalesce(s.branch, '') AS branch, count(*)::integer AS students,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM criteria c
            WHERE meets_criteria(s.cgpa, s.tenth_percent, s.twelfth_percent, s.active_backlogs, s.branch, s.batch_year,
                                 c.min_cgpa, c.min_10th, c.min_12th, c.max_backlogs, c.branches, c.batch_years)
       ))::integer AS eligible,
       count(r.student_id)::integer AS registered, count(p.student_id)::integer AS present
  FROM students s
  LEFT JOIN (SELECT DISTINCT student_id FROM registrations) r USING (student_id)
  LEFT JOIN (SELECT DISTINCT student_id FROM attendance WHERE status = 'PRESENT') p USING (student_id)
 GROUP BY 1;
CREATE UNIQUE INDEX branch_counts_branch ON branch_counts (branch);

-- Eligible and selected: as the newest evaluation found them.
CREATE MATERIALIZED VIEW drive_funnel AS
SELECT d.drive_id, d.company_name, d.job_title, d.status, d.created_at, coalesce(e.eligible, 0) AS eligible,
       coalesce(e.selected, 0) AS selected, coalesce(r.registered, 0) AS registered, coalesce(a.present, 0) AS present
  FROM drives d
  LEFT JOIN evaluations e USING (drive_id)
  LEFT JOIN (SELECT drive_id, count(*)::integer AS registered FROM registrations GROUP BY drive_id) r USING (drive_id)
  LEFT JOIN (SELECT drive_id, count(*)::integer AS present FROM attendance WHERE status = 'PRESENT' GROUP BY drive_id) a
       USING (drive_id);
CREATE UNIQUE INDEX drive_funnel_drive ON drive_funnel (drive_id);

-- The last refresh of each view; the rows of one refresh share refreshed_at, the moment that the views show.
CREATE TABLE view_refresh (
    view_name text PRIMARY KEY,
    refreshed_at timestamptz NOT NULL,
    began_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    duration_s double precision NOT NULL,
    rows bigint NOT NULL
);
INSERT INTO view_refresh (view_name, refreshed_at, began_at, finished_at, duration_s, rows)
VALUES ('registrations_per_drive', now(), now(), now(), 0, (SELECT count(*) FROM registrations_per_drive)),
       ('drives_over_time', now(), now(), now(), 0, (SELECT count(*) FROM drives_over_time)),
       ('attendance_trend', now(), now(), now(), 0, (SELECT count(*) FROM attendance_trend)),
       ('branch_counts', now(), now(), now(), 0, (SELECT count(*) FROM branch_counts)),
       ('drive_funnel', now(), now(), now(), 0, (SELECT count(*) FROM drive_funnel));

DO $$
BEGIN
    CREATE ROLE placewire_maintenance LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
DO $$
DECLARE
    setting record;
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO placewire_maintenance', current_database());
    -- A refresh of all views is one transaction, and waits for the one before it.
    FOR setting IN SELECT * FROM (VALUES ('idle_in_transaction_session_timeout', '10s'), ('transaction_timeout', '900s'),
                                         ('lock_timeout', '280s')) AS listed (name, value) LOOP
        EXECUTE format('ALTER ROLE placewire_maintenance IN DATABASE %I SET %I = %L',
                       current_database(), setting.name, setting.value);
    END LOOP;
END $$;

GRANT SELECT, MAINTAIN ON registrations_per_drive, drives_over_time, attendance_trend, branch_counts, drive_funnel
   TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON view_refresh TO placewire_maintenance;
GRANT SELECT ON registrations_per_drive, drives_over_time, attendance_trend, branch_counts, drive_funnel, view_refresh
   TO placewire_api;
