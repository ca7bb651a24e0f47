-- Expiry.
SELECT 1;
