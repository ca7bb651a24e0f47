-- The branches of drives and students are typed by different people: "CSE" and " cse " are the same. They are compared by
-- this key: lower case (one Greek sigma), NFC, trimmed, with single spaces inside. The Python counterpart is services/api/eligibility/branches.py; a
-- property test compares the two.
-- RETURN instead of a string body: the refresh of a view that calls them runs with a search path without public.
CREATE FUNCTION branch_key(branch text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN replace(lower(normalize(btrim(regexp_replace(translate(
               branch,
               E'\x09\x0a\x0b\x0c\x0d\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006'
               '\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
               repeat(' ', 28)), ' +', ' ', 'g')), NFC)), 'ς', 'σ');

CREATE FUNCTION branch_keys(branches text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array(SELECT branch_key(one) FROM unnest(branches) AS one);

-- Whether the text equals its key except for case, as nearly every branch does. Then lower() with the collation C, which
-- handles only ASCII at a third of the cost, gives the key. Inlined.
CREATE FUNCTION is_plain_branch(branch text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN octet_length(branch) = length(branch) AND strpos(branch, '  ') = 0 AND branch = btrim(branch, E' \t\n\x0b\f\r')
           AND strpos(branch, E'\t') = 0 AND strpos(branch, E'\n') = 0;

-- As before, except branches: identical text matches first; keys are compared last, after all other criteria.
CREATE OR REPLACE FUNCTION meets_criteria(
    cgpa numeric, tenth numeric, twelfth numeric, backlogs integer, branch text, batch_year integer,
    min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer, branches text[], batch_years integer[]
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (min_cgpa IS NULL OR cgpa >= min_cgpa) IS TRUE
       AND (min_10th IS NULL OR tenth >= min_10th) IS TRUE
       AND (min_12th IS NULL OR twelfth >= min_12th) IS TRUE
       AND (max_backlogs IS NULL OR backlogs <= max_backlogs) IS TRUE
       AND (batch_years IS NULL OR batch_year = ANY (batch_years)) IS TRUE
       AND (branches IS NULL OR branch = ANY (branches)
            OR lower(branch COLLATE "C") = ANY (branch_keys(branches))
            OR (NOT is_plain_branch(branch) AND branch_key(branch) = ANY (branch_keys(branches)))) IS TRUE;
