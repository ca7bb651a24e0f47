-- Begin an evaluation in one round trip: wait for other evaluations of the drive, then return what it must do. Later statements have
-- a new snapshot, so they see what those evaluations committed. The lock is held until the transaction ends.
-- newest: the drive exists, and neither this version nor a later one was evaluated. replaces: students are selected for the drive.
-- first: no student was ever selected for it. A first evaluation reports all registered students who are not eligible to staff, not
-- only the revoked ones.
-- Plan: primary keys; for selections, a prefix of the key. The setting excludes a plan that was cached for a small table and that
-- would read the whole table.
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
