-- Return the name that all projections show. For an erased version, it is a fixed name.
CREATE OR REPLACE FUNCTION vault.shown_name(p_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_name, 'Erased person');
