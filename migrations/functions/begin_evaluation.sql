-- How an evaluation begins, in one round trip: it waits for the drive's others, until its transaction ends, and then looks.
-- Each statement here has a snapshot of its own, so it sees what they have committed.
CREATE OR REPLACE FUNCTION begin_evaluation(p_drive integer, p_version bigint, OUT newest boolean, OUT replaces boolean)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('evaluation:' || p_drive, 0));
    newest := EXISTS (SELECT FROM drives WHERE drive_id = p_drive)
              AND NOT EXISTS (SELECT FROM evaluations WHERE drive_id = p_drive AND drive_version >= p_version);
    replaces := newest AND EXISTS (SELECT FROM selections WHERE drive_id = p_drive AND revoked_version IS NULL);
END $$;
