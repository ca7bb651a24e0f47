-- Return whether the file of an export of this kind, with these columns, shows names, e-mail addresses or roll numbers.
CREATE OR REPLACE FUNCTION vault.shows_people(kind text, columns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind = 'invitations' OR columns && ARRAY['name', 'email', 'roll_number'];
