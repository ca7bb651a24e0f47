-- What the maintenance service needs to answer jobs and to record events of its own.
GRANT USAGE ON SCHEMA es TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.stream TO placewire_maintenance;
GRANT SELECT, INSERT ON es.event TO placewire_maintenance;
GRANT SELECT, INSERT ON es.outbox TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.job TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.canary TO placewire_maintenance;
GRANT SELECT, INSERT ON es.undecodable TO placewire_maintenance;
