-- As begin_evaluation, and whether it is the first: nobody was ever selected for the drive. Such an evaluation notifies staff of
-- any registered student who is no longer eligible, not only of those whom it revoked.
--
-- requires: begin_evaluation
CREATE OR REPLACE FUNCTION start_evaluation(
    p_drive integer, p_version bigint, OUT newest boolean, OUT replaces boolean, OUT first boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    SELECT b.newest, b.replaces INTO newest, replaces FROM begin_evaluation(p_drive, p_version) b;
    first := newest AND NOT replaces AND NOT EXISTS (SELECT FROM selections WHERE drive_id = p_drive);
END $$;
