-- Whether a lease has expired, so that the job may be claimed. A lease that ends later than one of p_lease begun now, with 5 s
-- of slack, was written while the clock was ahead, and has expired.
CREATE OR REPLACE FUNCTION es.lease_has_expired(p_lease_until timestamptz, p_lease interval) RETURNS boolean LANGUAGE sql AS $$
    SELECT p_lease_until < clock_timestamp() OR p_lease_until > clock_timestamp() + p_lease + interval '5 s'
$$;
