-- Return the key of an e-mail address or roll number. Texts with the same key belong to the same person: they differ only in case,
-- outer spaces or Unicode form. The collation is built into Postgres, so indexes do not depend on the operating system.
-- Plan: ten times as fast for ASCII text, which has only one Unicode form. Not STRICT, which would prevent inlining.
--
-- applied: before the tables
CREATE OR REPLACE FUNCTION identity_key(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN octet_length($1) = length($1) THEN lower(btrim($1) COLLATE pg_c_utf8)
                ELSE lower(normalize(btrim($1), NFC) COLLATE pg_c_utf8) END;
