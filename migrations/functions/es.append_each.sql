-- Append one event to each of many existing streams of one type, at any version. Write outbox, jobs and read tables as es.append
-- does; without a topic, no outbox rows. p_events: [{stream, id, type, data, metadata, job?: {service, kind, requested_by}}].
-- Return the number of events.
-- Streams are locked in the order of the array, so callers with the same order never deadlock. The ids must be new: repeated events
-- are not recognised. Plan: a few statements for all streams together.
--
-- requires: es.log_tx, es.log_xid, project
CREATE OR REPLACE FUNCTION es.append_each(p_topic text, p_lane smallint, p_events jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    own_xid CONSTANT xid8 := es.log_xid();
    log_tx CONSTANT xid8 := es.log_tx();
    kind CONSTANT text := split_part(p_events #>> '{0,stream}', '-', 1);
    appended es.event[];
BEGIN
    PERFORM FROM jsonb_array_elements(p_events) WITH ORDINALITY AS listed (e, ord)
      CROSS JOIN LATERAL (
            SELECT FROM es.stream s WHERE s.stream_id = listed.e ->> 'stream' FOR UPDATE) AS locked
      ORDER BY ord;

    WITH requested AS MATERIALIZED (
        SELECT e, ord FROM jsonb_array_elements(p_events) WITH ORDINALITY AS listed (e, ord)
    ), heads AS (
        UPDATE es.stream s SET version = s.version + 1, last_tx = greatest(s.last_tx, log_tx)
          FROM requested a WHERE s.stream_id = a.e ->> 'stream'
        RETURNING s.stream_id, s.version, s.last_tx, a.e, a.ord
    ), written AS (
        INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
        SELECT last_tx, own_xid, stream_id, version, (e ->> 'id')::uuid, e ->> 'type', e -> 'data', e -> 'metadata'
          FROM heads ORDER BY ord
        RETURNING w
    ), jobs AS (
        INSERT INTO es.job (id, service, kind, subject, requested_by)
        SELECT (e ->> 'id')::uuid, e #>> '{job,service}', e #>> '{job,kind}', stream_id, (e #>> '{job,requested_by}')::integer
          FROM heads WHERE e ? 'job' ORDER BY ord
    )
    SELECT array_agg(w ORDER BY (w).position) INTO appended FROM written;

    PERFORM project(kind, appended);

    INSERT INTO es.outbox (lane, topic, key, event_id)
    SELECT p_lane, p_topic, (e).stream_id, (e).event_id FROM unnest(appended) e WHERE p_topic IS NOT NULL;
    RETURN cardinality(appended);
END $$;
