-- Return the roll number that all projections show. For an erased version, it is made of the id.
CREATE OR REPLACE FUNCTION vault.shown_roll_number(p_roll_number text, p_person integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(p_roll_number, 'erased-' || p_person);
