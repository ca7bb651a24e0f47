-- Return the offset of the current epoch, a constant. The planner inlines this function and its callers, so they cost nothing.
-- `placewire adopt-log` replaces it; a migration never does. While it differs from es.epoch, no event can be appended (es.enter_log).
-- STABLE, not IMMUTABLE: a cached plan that has inlined the function is made again when the function is replaced.
--
-- Transaction ids belong to one server. The log records them with this offset added. So values of all epochs can be compared, and a
-- log that has moved to another server continues above all recorded values. Only the functions es.log_* and es.adoption_reason
-- convert between the server's ids and recorded ones (tests/integration/test_log_functions.py).
--
-- applied: once
CREATE OR REPLACE FUNCTION es.log_offset() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 0::bigint';
