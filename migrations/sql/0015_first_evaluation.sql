-- As begin_evaluation, which the release before calls, and whether it is the first: nobody was ever selected for the drive.
-- Such an evaluation tells staff of any registered student who is out, not only of those whom it revoked. By "nobody is
-- selected now" it told a second time of those of whom an evaluation that revoked everyone had told.
CREATE FUNCTION start_evaluation(
    p_drive integer, p_version bigint, OUT newest boolean, OUT replaces boolean, OUT first boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('evaluation:' || p_drive, 0));
    newest := EXISTS (SELECT FROM drives WHERE drive_id = p_drive)
              AND NOT EXISTS (SELECT FROM evaluations WHERE drive_id = p_drive AND drive_version >= p_version);
    replaces := newest AND EXISTS (SELECT FROM selections WHERE drive_id = p_drive AND revoked_version IS NULL);
    first := newest AND NOT replaces AND NOT EXISTS (SELECT FROM selections WHERE drive_id = p_drive);
END $$;
