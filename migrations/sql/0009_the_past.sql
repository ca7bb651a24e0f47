-- The past.
SELECT 1;
