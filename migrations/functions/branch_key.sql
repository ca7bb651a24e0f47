-- Return the key by which branches are compared: users write "CSE" and " cse " for the same branch. The key is lower case (one
-- Greek sigma), NFC, trimmed, with single spaces inside. contracts/branches.py does the same; a property test compares both.
-- Plan: nearly every branch is ASCII without spaces to remove; the first case costs a fifth of the second.
-- RETURN, not a string body: a refresh of a view that calls this function has a search path without public.
--
-- applied: before the tables
CREATE OR REPLACE FUNCTION branch_key(branch text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN branch ~ '^[!-~]+( [!-~]+)*$' COLLATE "C" THEN lower(branch COLLATE "C") ELSE
           replace(lower(normalize(btrim(regexp_replace(translate(
               branch,
               E'\x09\x0a\x0b\x0c\x0d\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006'
               '\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
               repeat(' ', 28)), ' +', ' ', 'g')), NFC)), 'ς', 'σ') END;
