-- Materialized view: the students of each branch ('': no branch on record), under its most frequent spelling. It counts all
-- students, those who meet the criteria of a published drive, those who registered for a drive, and those who attended one.
-- Plan: a student who meets a set of criteria meets every looser set. So only the loosest sets are tried. 1,000 drives have a
-- handful of these, and a refresh takes a tenth of the time.
--
-- requires: criteria, marks_of, meets_criteria
DROP MATERIALIZED VIEW IF EXISTS branch_counts;
CREATE MATERIALIZED VIEW branch_counts AS
WITH required AS MATERIALIZED (
    SELECT row_number() OVER () AS number, *
      FROM (SELECT DISTINCT min_cgpa, min_10th, min_12th, max_backlogs, branch_keys, batch_years
              FROM drives WHERE status <> 'pending') d
), looser AS MATERIALIZED (
    SELECT l.number, s.number AS than
      FROM required l JOIN required s
        ON l.number <> s.number
       AND (l.min_cgpa IS NULL OR s.min_cgpa >= l.min_cgpa) AND (l.min_10th IS NULL OR s.min_10th >= l.min_10th)
       AND (l.min_12th IS NULL OR s.min_12th >= l.min_12th)
       AND (l.max_backlogs IS NULL OR s.max_backlogs <= l.max_backlogs)
       AND (l.branch_keys IS NULL OR s.branch_keys <@ l.branch_keys)
       AND (l.batch_years IS NULL OR s.batch_years <@ l.batch_years)
), criteria AS MATERIALIZED (
    -- Two sets that are looser than each other are equal. Of these, the first stays.
    SELECT * FROM required a
     WHERE NOT EXISTS (
         SELECT FROM looser l
          WHERE l.than = a.number AND (l.number < a.number OR NOT EXISTS (
              SELECT FROM looser back WHERE back.number = a.number AND back.than = l.number)))
), counted AS (
    SELECT s.branch_key, s.branch, count(*) AS students,
           count(*) FILTER (WHERE s.active AND EXISTS (
               SELECT FROM criteria c
                WHERE meets_criteria(marks_of(s), ROW(c.min_cgpa, c.min_10th, c.min_12th, c.max_backlogs, c.branch_keys,
                                                      c.batch_years)::criteria)
           )) AS eligible,
           count(r.student_id) AS registered, count(p.student_id) AS present
      FROM students s
      LEFT JOIN (SELECT DISTINCT student_id FROM registrations) r USING (student_id)
      LEFT JOIN (SELECT DISTINCT student_id FROM attendance WHERE status = 'PRESENT') p USING (student_id)
     GROUP BY s.branch_key, s.branch
)
SELECT coalesce((array_agg(branch ORDER BY students DESC, branch))[1], '') AS branch, sum(students)::integer AS students,
       sum(eligible)::integer AS eligible, sum(registered)::integer AS registered, sum(present)::integer AS present
  FROM counted
 GROUP BY coalesce(branch_key, '');
CREATE UNIQUE INDEX branch_counts_branch ON branch_counts (branch);
