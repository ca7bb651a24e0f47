-- One role per process, with the least it needs. Roles belong to the cluster, so another database may have made them,
-- even this very moment. Passwords are the operator's business: ALTER ROLE ... PASSWORD.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY ['placewire_api', 'placewire_eligibility', 'placewire_relay'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = %L', name, current_database(), '10s');
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET transaction_timeout = %L', name, current_database(), '60s');
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET lock_timeout = %L', name, current_database(), '20s');
    END LOOP;
    -- An evaluation over a million students is one statement.
    EXECUTE format('ALTER ROLE placewire_eligibility IN DATABASE %I SET transaction_timeout = %L', current_database(), '300s');
    EXECUTE format('ALTER ROLE placewire_eligibility IN DATABASE %I SET lock_timeout = %L', current_database(), '280s');
END $$;

GRANT USAGE ON SCHEMA es TO placewire_api, placewire_eligibility, placewire_relay;

-- What es.append needs.
GRANT SELECT, INSERT, UPDATE ON es.stream TO placewire_api, placewire_eligibility;
GRANT SELECT, INSERT ON es.event TO placewire_api, placewire_eligibility;
GRANT INSERT ON es.outbox TO placewire_api, placewire_eligibility;

GRANT SELECT ON ALL TABLES IN SCHEMA es TO placewire_api;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO placewire_api;
GRANT INSERT ON es.job TO placewire_api;
GRANT INSERT, UPDATE ON users, credentials, students, job_domains, idempotency_keys TO placewire_api;
GRANT INSERT, UPDATE, DELETE ON drives TO placewire_api;
GRANT INSERT ON requested_selection TO placewire_api;
GRANT DELETE ON evaluations TO placewire_api;
GRANT USAGE ON SEQUENCE user_id_seq, drive_id_seq TO placewire_api;

GRANT SELECT, UPDATE ON es.job TO placewire_eligibility;
GRANT SELECT, INSERT, UPDATE ON es.canary TO placewire_eligibility;
GRANT SELECT, INSERT ON es.undecodable TO placewire_eligibility;
GRANT SELECT ON students, drives, requested_selection TO placewire_eligibility;
GRANT SELECT, INSERT, UPDATE ON evaluations TO placewire_eligibility;
GRANT SELECT, INSERT, UPDATE (revoked_version, revoked_at) ON selections TO placewire_eligibility;

GRANT SELECT, INSERT, UPDATE, DELETE ON es.outbox TO placewire_relay;
GRANT SELECT ON es.event TO placewire_relay;
