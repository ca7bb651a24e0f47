-- Whether a file of such an export shows names, e-mail addresses or roll numbers. The Python twin is
-- services/exporter/decider.py.
CREATE OR REPLACE FUNCTION vault.shows_people(kind text, columns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind = 'invitations' OR columns && ARRAY['name', 'email', 'roll_number'];
