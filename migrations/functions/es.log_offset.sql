-- The offset of the current epoch, as a constant: the planner inlines it and the functions that call it, so they cost nothing.
-- `placewire adopt-log` replaces it; a migration never does. When it differs from es.epoch nothing can be appended
-- (es.enter_log). STABLE, not IMMUTABLE: a plan that has inlined it is planned again when it is replaced.
--
-- Transaction ids belong to one server. The log records them with this offset added, so recorded values of all epochs compare
-- with each other, and a log that has moved to another server goes on above everything recorded. Only the functions es.log_*
-- and es.adoption_reason use the server's own ids for what is recorded (tests/integration/test_log_functions.py).
--
-- applied: once
CREATE OR REPLACE FUNCTION es.log_offset() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 0::bigint';
