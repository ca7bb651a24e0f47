-- Type: the part of a student's record that decides eligibility. A revision changes the type (ALTER TYPE).
--
-- applied: before the tables
-- applied: once
CREATE TYPE marks AS (
    cgpa numeric,
    tenth_percent numeric,
    twelfth_percent numeric,
    diploma_percent numeric,
    active_backlogs integer,
    branch_key text,
    batch_year integer
);
