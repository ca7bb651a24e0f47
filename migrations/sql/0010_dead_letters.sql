-- Dead letters: what people did about jobs that were given up, and about records that could not be read.

CREATE OR REPLACE FUNCTION es.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = '42501';
END $$;

-- Who did what to which, and why. error and attempts: what the job had died of, which a redriven one forgets.
-- No foreign keys: jobs expire, this stays.
CREATE TABLE es.dead_letter_action (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid,
    undecodable_id bigint,
    action text NOT NULL CHECK (action IN ('redriven', 'discarded')),
    actor text NOT NULL,
    reason text,
    error text NOT NULL,
    attempts integer,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((job_id IS NULL) <> (undecodable_id IS NULL)),
    CHECK (action <> 'discarded' OR reason IS NOT NULL)
);
CREATE INDEX dead_letter_action_job ON es.dead_letter_action (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX dead_letter_action_undecodable ON es.dead_letter_action (undecodable_id) WHERE undecodable_id IS NOT NULL;
CREATE TRIGGER dead_letter_action_is_append_only BEFORE UPDATE OR DELETE ON es.dead_letter_action
    FOR EACH ROW EXECUTE FUNCTION es.refuse_change();
CREATE TRIGGER dead_letter_action_is_never_truncated BEFORE TRUNCATE ON es.dead_letter_action
    FOR EACH STATEMENT EXECUTE FUNCTION es.refuse_change();

-- Listed over all services, newest first.
DROP INDEX es.job_dead;
CREATE INDEX job_dead ON es.job (seq) WHERE dead;

-- A record that somebody has dealt with stays, and is listed no more.
ALTER TABLE es.undecodable ADD COLUMN settled_at timestamptz;
CREATE INDEX undecodable_open ON es.undecodable (id) WHERE settled_at IS NULL;

GRANT SELECT, INSERT ON es.dead_letter_action TO placewire_api;
GRANT UPDATE (settled_at) ON es.undecodable TO placewire_api;

-- A consumer that hears no canary asks whether the relay sends any (chassis/bus.py). Without this it failed, and
-- joined its group anew, every 5 s.
GRANT SELECT (lane, queued_at) ON es.outbox TO placewire_eligibility, placewire_exporter;
