-- What maintenance deletes when nobody needs it any more, and how the tables that change most are kept lean.
--
-- until: of this kind nothing that was asked for later has been deleted; verify misses it.
CREATE TABLE expiry (
    what text PRIMARY KEY,
    until timestamptz NOT NULL
);

-- Each search is a scan of one of these from its old end. A job enters its index when it ends: an update that moves the
-- row in job_unfinished anyway. A dead one never does before it was redriven or discarded.
CREATE INDEX exports_expiring ON exports (expires_at, export_id) WHERE state = 'completed';
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at);
CREATE INDEX job_ended ON es.job (finished_at) WHERE finished_at IS NOT NULL AND NOT dead;
-- Which drive has ever named a PDF. Of every other event only the type is looked at: 30,000 of them were inserted in
-- 0.54 to 0.81 s, without this index in 0.54 to 1.07 s.
CREATE INDEX event_pdf_path ON es.event ((data #>> '{posting,pdf_path}'))
 WHERE type IN ('placewire.drive.created.v1', 'placewire.drive.revised.v1');

-- To lock a row before it is deleted a role must be allowed to change some column of it.
GRANT SELECT, DELETE, UPDATE (created_at) ON idempotency_keys TO placewire_maintenance;
GRANT DELETE ON es.job TO placewire_maintenance;
GRANT SELECT, DELETE ON notification_reads TO placewire_maintenance;
GRANT SELECT ON notifications TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON expiry TO placewire_maintenance;
GRANT SELECT ON expiry TO placewire_api;

-- Upkeep. fillfactor leaves room on the page for the row's next versions: an update that changes no indexed column then
-- touches no index, and its predecessor is cleared away by whoever reads the page next. (It holds for new pages.)
-- The scale factors of autovacuum are shares of the table; by their default of 0.2 a table of ten million rows
-- gathers two million dead ones. es.outbox and es.job have theirs from 0001: a fixed threshold, room for several versions.

-- Every append to a stream that exists is an update; most streams are written once, so a tenth of room is enough. Of
-- 8,799 updates spread over 100,000 streams 99.9 % touched no index; without room 49 %. The table was 6 % larger.
ALTER TABLE es.stream SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
-- Never updated: full pages. Vacuumed as it grows, so that old rows are frozen in small portions, never all at once, and
-- analyzed, so that the planner knows the newest drives and students.
ALTER TABLE es.event SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
-- A handful of rows, each rewritten every second.
ALTER TABLE es.canary SET (fillfactor = 10);
-- Written three times within seconds: claimed, committed, answered. Of 6,000 updates none touched an index; at 90 6 %, at
-- 100 10 %; at 50 the table was half as large again.
ALTER TABLE idempotency_keys SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,
                                  autovacuum_vacuum_threshold = 2000);
-- Marks are revised one by one, and for all of a batch at once by an import.
ALTER TABLE students SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);
-- Passwords and roles change, names do not.
ALTER TABLE users SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);
-- Small tables that each step of a drive's life updates.
ALTER TABLE drives SET (fillfactor = 70);
ALTER TABLE evaluations SET (fillfactor = 70);
ALTER TABLE exports SET (fillfactor = 70);
-- Written once, in bursts of a hundred thousand, and read by index alone right afterwards: the visibility map must
-- keep up, and so must the statistics. A mark of attendance may be corrected.
ALTER TABLE registrations SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE attendance SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05,
                            autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
-- A new selection revokes the old one: up to every row of a drive is updated at once. Full pages, because the insert of
-- a million rows is what an evaluation waits for; dead rows are cleared early instead.
ALTER TABLE selections SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05,
                            autovacuum_analyze_scale_factor = 0.02);
-- One row for each user, rewritten whenever he has read everything.
ALTER TABLE notification_read_marks SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
-- Written once; deleted in pages when the drive has gone.
ALTER TABLE notification_reads SET (autovacuum_vacuum_scale_factor = 0.05);
