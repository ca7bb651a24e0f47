-- A function's plans are kept for a connection's life. Made while a table fits on a page they are sequential scans, and
-- those read every row that has died since, until a vacuum: with 10,000 sent rows between two vacuums a turn of the relay
-- took some milliseconds. These look rows up by a key, whatever the table's size. Not so es.claim: how many it takes is
-- not known to the planner, which then joins by reading an index from end to end (measured: a burst at a tenth of its pace).
ALTER FUNCTION es.receive(text, uuid[], text) SET enable_seqscan = off;
ALTER FUNCTION es.finish(uuid, bigint, text, jsonb, text, boolean) SET enable_seqscan = off;
ALTER FUNCTION es.relay_turn(bigint[], integer, integer) SET enable_seqscan = off;
-- Nor by a bitmap of the index, which does not mark the entries of dead rows, and passes them all every time.
ALTER FUNCTION es.relay_turn(bigint[], integer, integer) SET enable_bitmapscan = off;

-- How an evaluation begins, in one round trip: it waits for the drive's others, until its transaction ends, and then looks.
-- Each statement here has a snapshot of its own: what they have committed is seen.
CREATE FUNCTION begin_evaluation(p_drive integer, p_version bigint, OUT newest boolean, OUT replaces boolean)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('evaluation:' || p_drive, 0));
    newest := EXISTS (SELECT FROM drives WHERE drive_id = p_drive)
              AND NOT EXISTS (SELECT FROM evaluations WHERE drive_id = p_drive AND drive_version >= p_version);
    replaces := newest AND EXISTS (SELECT FROM selections WHERE drive_id = p_drive AND revoked_version IS NULL);
END $$;

-- Of the drive's registrations, those whose students do not meet the criteria: whom p_version revoked or, when nobody had been
-- selected before (p_anyone), whoever it is (students may register for an auto-published drive at once). Of the students from
-- p_first to p_last, by an index of registrations (30,000 students, 10,000 registered: one takes 0.04 ms, all 12 ms).
--
-- First it waits for who is registering at this moment, and holds nothing afterwards: what a block has locked goes with the
-- block when that is undone. The count has a snapshot of its own, taken after that.
CREATE FUNCTION count_registered_no_longer_eligible(
    p_drive integer, p_version bigint, p_cgpa numeric, p_tenth numeric, p_twelfth numeric, p_backlogs integer,
    p_branches text[], p_batch_years integer[], p_anyone boolean, p_first integer, p_last integer
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('registration:' || p_drive, 0));
        RAISE EXCEPTION USING ERRCODE = 'ES003';
    EXCEPTION WHEN SQLSTATE 'ES003' THEN
        NULL;
    END;
    RETURN (
        SELECT count(*) FROM registrations r JOIN students s USING (student_id)
         WHERE r.drive_id = p_drive AND r.student_id BETWEEN p_first AND p_last
           AND NOT meets_criteria(s.cgpa, s.tenth_percent, s.twelfth_percent, s.active_backlogs, s.branch, s.batch_year,
                                  p_cgpa, p_tenth, p_twelfth, p_backlogs, p_branches, p_batch_years)
           AND (p_anyone OR EXISTS (
                SELECT FROM selections c
                 WHERE c.drive_id = p_drive AND c.student_id = r.student_id AND c.revoked_version = p_version)));
END $$;
