-- The name that every projection shows; for an erased version a fixed one.
CREATE OR REPLACE FUNCTION vault.shown_name(p_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_name, 'Erased person');
