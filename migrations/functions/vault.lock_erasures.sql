-- Lock erasures alone until the transaction ends; an export shares the lock (vault.share_erasures). So an export that ends first
-- is among the withdrawn ones, and one that ends later sees the erasure.
CREATE OR REPLACE FUNCTION vault.lock_erasures() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('erasures', 0))
$$;
