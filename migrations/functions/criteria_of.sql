-- Return the criteria of a drive. Inlined.
--
-- requires: criteria
CREATE OR REPLACE FUNCTION criteria_of(d drives) RETURNS criteria LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW(d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branch_keys, d.batch_years)::criteria;
