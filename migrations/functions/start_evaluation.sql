-- Begin an evaluation in one round trip: wait for the drive's others, until its transaction ends, and then look. Each statement
-- has a snapshot of its own, so it sees what they have committed.
-- newest: the drive is there, and neither this version nor a later one was evaluated. replaces: students are selected for it.
-- first: nobody ever was. A first evaluation notifies staff of any registered student who is not eligible, not only of those
-- whom it revoked.
-- Plan: primary keys; selections by the prefix of its own. The setting: a kept plan made for a small table reads all of it.
--
-- requires: lock_exclusive
CREATE OR REPLACE FUNCTION start_evaluation(
    p_drive integer, p_version bigint, OUT newest boolean, OUT replaces boolean, OUT first boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM lock_exclusive('evaluation', p_drive);
    newest := EXISTS (SELECT FROM drives WHERE drive_id = p_drive)
              AND NOT EXISTS (SELECT FROM evaluations WHERE drive_id = p_drive AND drive_version >= p_version);
    replaces := newest AND EXISTS (SELECT FROM selections WHERE drive_id = p_drive AND revoked_version IS NULL);
    first := newest AND NOT replaces AND NOT EXISTS (SELECT FROM selections WHERE drive_id = p_drive);
END $$;
