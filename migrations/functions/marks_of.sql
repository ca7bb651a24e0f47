-- Return the current marks of a student. Inlined. The caller needs SELECT on every column of students. The eligibility service has
-- fewer rights, so it writes the row out (services/eligibility/sql.py).
--
-- requires: marks
CREATE OR REPLACE FUNCTION marks_of(s students) RETURNS marks LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs, s.branch_key,
               s.batch_year)::marks;
