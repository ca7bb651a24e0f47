-- End a running job. p_channel is recorded unless the job has a channel already.
-- Raises ES002 if p_fence is no longer the job's token: another worker runs the job, or it has ended. Plan: job_pkey.
CREATE OR REPLACE FUNCTION es.finish(p_id uuid, p_fence uuid, p_channel text, p_state text, p_result jsonb, p_error text, p_dead_lettered boolean)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE es.job SET state = p_state, result = p_result, error = p_error, dead_lettered = p_dead_lettered,
           channel = coalesce(channel, p_channel), finished_at = clock_timestamp(), lease_until = '-infinity'
     WHERE id = p_id AND fence = p_fence AND finished_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % is no longer held with fence %', p_id, p_fence USING ERRCODE = 'ES002';
    END IF;
END $$;
