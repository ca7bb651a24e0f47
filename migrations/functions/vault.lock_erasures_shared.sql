-- Take the lock of erasures in shared mode until the transaction ends. Return the number of erasures. An erasure takes the lock
-- exclusively (vault.erase_person). So an erasure withdraws each export that ended before it, and each later export sees the erasure.
--
-- requires: lock_shared
CREATE OR REPLACE FUNCTION vault.lock_erasures_shared() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_shared('erasures');
    RETURN (SELECT count(*) FROM vault.erasure);
END $$;
