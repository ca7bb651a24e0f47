-- Seconds since p_at. Infinity when p_at lies in the future, with 5 s of slack for a clock that is being slewed: such a timestamp
-- was written while the database's clock was ahead, its age is unknown, and nothing may wait for it.
CREATE OR REPLACE FUNCTION es.age_s(p_at timestamptz) RETURNS double precision LANGUAGE sql AS $$
    SELECT CASE WHEN p_at > clock_timestamp() + interval '5 s' THEN 'infinity'::double precision
                ELSE extract(epoch FROM clock_timestamp() - p_at)::double precision END
$$;
