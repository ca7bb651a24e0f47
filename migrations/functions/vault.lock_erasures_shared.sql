-- Share the lock of erasures until the transaction ends, and return their number. An erasure takes it alone
-- (vault.erase_person). So an export that ends first is among the withdrawn ones, and one that ends later sees the erasure.
--
-- requires: lock_shared
CREATE OR REPLACE FUNCTION vault.lock_erasures_shared() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_shared('erasures');
    RETURN (SELECT count(*) FROM vault.erasure);
END $$;
