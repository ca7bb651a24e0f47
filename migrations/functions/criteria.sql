-- Type: the criteria of a drive. Null: no limit. Branches are given by their keys. A revision changes the type (ALTER TYPE).
--
-- applied: before the tables
-- applied: once
CREATE TYPE criteria AS (
    min_cgpa numeric,
    min_10th numeric,
    min_12th numeric,
    max_backlogs integer,
    branch_keys text[],
    batch_years integer[]
);
