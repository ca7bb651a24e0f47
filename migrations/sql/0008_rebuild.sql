-- Rebuild.
SELECT 1;
