-- What the maintenance service needs to answer jobs and to record events of its own.
GRANT USAGE ON SCHEMA es TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.stream TO placewire_maintenance;
GRANT SELECT, INSERT ON es.event TO placewire_maintenance;
GRANT SELECT, INSERT ON es.outbox TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.job TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.canary TO placewire_maintenance;
GRANT SELECT, INSERT ON es.undecodable TO placewire_maintenance;

-- What the last refresh of a view has seen: a request, or a change, that its snapshot sees needs no other one.
-- run_id: the job that it was done for; null: never yet, and nothing was seen.
ALTER TABLE view_refresh ADD COLUMN run_id uuid, ADD COLUMN snapshot text NOT NULL DEFAULT '1:1:';
ALTER TABLE view_refresh ALTER COLUMN snapshot DROP DEFAULT;
