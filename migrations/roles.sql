-- One role for each process, with the limits of its sessions in this database. Applied by every migration. It only adds what is
-- missing, so an owner without CREATEROLE can run it when the roles exist. Passwords: `placewire roles`.
-- Roles belong to the server. A migration of another database may create them at the same moment.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('placewire_api', 'transaction_timeout', '60s'), ('placewire_api', 'lock_timeout', '20s'),
        -- An evaluation over a million students is one statement.
        ('placewire_eligibility', 'transaction_timeout', '300s'), ('placewire_eligibility', 'lock_timeout', '280s'),
        -- The transaction that reads a file lifts its own limits (services/exporter/sql.py). Writing transactions are short.
        ('placewire_exporter', 'transaction_timeout', '60s'), ('placewire_exporter', 'lock_timeout', '20s'),
        -- A refresh of all views is one transaction, and waits for a running refresh.
        ('placewire_maintenance', 'transaction_timeout', '900s'), ('placewire_maintenance', 'lock_timeout', '280s'),
        ('placewire_relay', 'transaction_timeout', '60s'), ('placewire_relay', 'lock_timeout', '20s'),
        ('placewire_api', 'idle_in_transaction_session_timeout', '10s'),
        ('placewire_eligibility', 'idle_in_transaction_session_timeout', '10s'),
        ('placewire_exporter', 'idle_in_transaction_session_timeout', '10s'),
        ('placewire_maintenance', 'idle_in_transaction_session_timeout', '10s'),
        ('placewire_relay', 'idle_in_transaction_session_timeout', '10s')
    ) AS listed (role, setting, value) LOOP
        IF to_regrole(wanted.role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted.role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_database d CROSS JOIN aclexplode(d.datacl) a
                        WHERE d.datname = current_database() AND a.grantee = to_regrole(wanted.role)
                          AND a.privilege_type = 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted.role);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                        CROSS JOIN unnest(s.setconfig) AS set_already
                        WHERE d.datname = current_database() AND s.setrole = to_regrole(wanted.role)
                          AND starts_with(set_already, wanted.setting || '=')) THEN
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %I = %L',
                           wanted.role, current_database(), wanted.setting, wanted.value);
        END IF;
    END LOOP;
END $$;
