-- Lock erasures shared until the transaction ends, and return their number (vault.lock_erasures).
CREATE OR REPLACE FUNCTION vault.share_erasures() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('erasures', 0));
    RETURN (SELECT count(*) FROM vault.erasure);
END $$;
