-- Return the e-mail address that all projections show. For an erased version, it is an address that receives no mail (RFC 2606).
CREATE OR REPLACE FUNCTION vault.shown_email(p_email text, p_person integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_email, 'erased-' || p_person || '@erased.invalid');
