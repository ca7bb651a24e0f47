-- Return the seconds since p_at; infinity if p_at is more than 5 s in the future. (A clock that is being slewed may be off by less.)
-- Such a timestamp was written while the database's clock was ahead: its age is unknown, and nothing may wait for that time.
CREATE OR REPLACE FUNCTION es.age_s(p_at timestamptz) RETURNS double precision LANGUAGE sql AS $$
    SELECT CASE WHEN p_at > clock_timestamp() + interval '5 s' THEN 'infinity'::double precision
                ELSE extract(epoch FROM clock_timestamp() - p_at)::double precision END
$$;
