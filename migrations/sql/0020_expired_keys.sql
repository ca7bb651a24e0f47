-- If the key's command wrote an event, that event's id is derived from the key, so the key's row can be deleted when it
-- expires. For other commands (job domains, redriven jobs, commands that changed nothing) the emptied row stays,
-- so that the key is always refused. event_id: the id of the command's first event, if it writes one.
ALTER TABLE idempotency_keys ADD COLUMN event_id uuid, ADD COLUMN expired boolean NOT NULL DEFAULT false;
DROP INDEX idempotency_keys_oldest;
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at) WHERE NOT expired;
GRANT UPDATE (fingerprint, committed, answer, expired) ON idempotency_keys TO placewire_maintenance;
