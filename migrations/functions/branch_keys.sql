-- Return the keys of several branches (branch_key). Null for null.
--
-- requires: branch_key
-- applied: before the tables
CREATE OR REPLACE FUNCTION branch_keys(branches text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN branches IS NOT NULL THEN array(SELECT branch_key(one) FROM unnest(branches) AS one) END;
