-- Return whether a lease has expired, so that the job may be claimed. A lease that ends more than p_lease + 5 s from now also
-- counts as expired: it was written while the clock was ahead.
CREATE OR REPLACE FUNCTION es.lease_has_expired(p_lease_until timestamptz, p_lease interval) RETURNS boolean LANGUAGE sql AS $$
    SELECT p_lease_until < clock_timestamp() OR p_lease_until > clock_timestamp() + p_lease + interval '5 s'
$$;
