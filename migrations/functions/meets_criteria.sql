-- Return whether a student with these marks meets the criteria. A diploma counts as the 12th mark of a student who has none.
-- services/api/eligibility/rules.py has the same rule in Python; tests/integration/test_rules_agree.py compares both.
-- Plan: inlined with marks_of and criteria_of, so a set of students costs one scan.
-- RETURN, not a string body: a refresh of a view that calls this function has a search path without public.
--
-- requires: criteria, marks
CREATE OR REPLACE FUNCTION meets_criteria(m marks, c criteria) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (c.min_cgpa IS NULL OR m.cgpa >= c.min_cgpa) IS TRUE
       AND (c.min_10th IS NULL OR m.tenth_percent >= c.min_10th) IS TRUE
       AND (c.min_12th IS NULL OR coalesce(m.twelfth_percent, m.diploma_percent) >= c.min_12th) IS TRUE
       AND (c.max_backlogs IS NULL OR m.active_backlogs <= c.max_backlogs) IS TRUE
       AND (c.branch_keys IS NULL OR m.branch_key = ANY (c.branch_keys)) IS TRUE
       AND (c.batch_years IS NULL OR m.batch_year = ANY (c.batch_years)) IS TRUE;
