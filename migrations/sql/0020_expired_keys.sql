-- A key whose command wrote an event is remembered by that event, whose id is made of the key: its row is deleted when it
-- expires. Of any other command (a job domain, a redriven job, a command that changed nothing) the row stays, without what it
-- held, so that the key is refused for good. event_id: the id of the command's first event, if it writes one.
ALTER TABLE idempotency_keys ADD COLUMN event_id uuid, ADD COLUMN expired boolean NOT NULL DEFAULT false;
DROP INDEX idempotency_keys_oldest;
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at) WHERE NOT expired;
GRANT UPDATE (fingerprint, committed, answer, expired) ON idempotency_keys TO placewire_maintenance;
