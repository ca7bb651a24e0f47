-- Whether a student meets the criteria of a drive. Branches are given by their keys (branch_key). The Python twin is
-- services/api/eligibility/rules.py; tests/integration/test_rules_agree.py compares the two.
-- Plan: both forms are inlined, so a set of students costs one scan.
-- The second form: a diploma counts as the 12th mark of a student who has no 12th mark. This rule stands here alone.
-- RETURN, not a string body: a refresh of a view that calls it has a search path without public.
CREATE OR REPLACE FUNCTION meets_criteria(
    cgpa numeric, tenth numeric, twelfth numeric, backlogs integer, branch text, batch_year integer,
    min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer, branches text[], batch_years integer[]
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (min_cgpa IS NULL OR cgpa >= min_cgpa) IS TRUE
       AND (min_10th IS NULL OR tenth >= min_10th) IS TRUE
       AND (min_12th IS NULL OR twelfth >= min_12th) IS TRUE
       AND (max_backlogs IS NULL OR backlogs <= max_backlogs) IS TRUE
       AND (branches IS NULL OR branch = ANY (branches)) IS TRUE
       AND (batch_years IS NULL OR batch_year = ANY (batch_years)) IS TRUE
$$;

CREATE OR REPLACE FUNCTION meets_criteria(
    cgpa numeric, tenth numeric, twelfth numeric, diploma numeric, backlogs integer, branch_key text, batch_year integer,
    min_cgpa numeric, min_10th numeric, min_12th numeric, max_backlogs integer, branch_keys text[], batch_years integer[]
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN meets_criteria(cgpa, tenth, coalesce(twelfth, diploma), backlogs, branch_key, batch_year,
                          min_cgpa, min_10th, min_12th, max_backlogs, branch_keys, batch_years);
