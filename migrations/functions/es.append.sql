-- Append events to one stream, and write their outbox rows, jobs and read tables (inline projections), in one round trip.
-- p_expected: the stream's version; 0: the stream must be new; -1: any version. p_events: [{id, type, data, metadata,
-- job?: {service, kind, requested_by}}]. If the event ids exist already, nothing changes and duplicate is true. Raises ES001 if the
-- stream is at another version.
--
-- The writers of es.event are es.append, es.append_each, register and ENROL (services/api/students/import_sql.py). All record
-- tx = greatest(own xid, newest xid begun by now, the stream's last tx), under the stream's row lock. So:
--   - tx is never below the real xid: a reader that stays below es.log_horizon() misses no event.
--   - tx never falls within a stream: each stream stays in order.
--   - tx is not below that of an event, in any stream, on which this command was decided. Without the second number it could be
--     below: this transaction may have got its xid before that event was written.
--
-- Plan: event_event_id for the ids, stream_pkey, then inserts.
--
-- requires: es.log_tx, es.log_xid, project
CREATE OR REPLACE FUNCTION es.append(
    p_stream text, p_expected bigint, p_topic text, p_lane smallint, p_events jsonb,
    OUT stream_version bigint, OUT duplicate boolean
) LANGUAGE plpgsql AS $$
DECLARE
    n CONSTANT integer := jsonb_array_length(p_events);
    kind CONSTANT text := split_part(p_stream, '-', 1);
    own_xid CONSTANT xid8 := es.log_xid();
    log_tx CONSTANT xid8 := es.log_tx();
    ids uuid[];
    seen integer;
    stream_tx xid8;
    appended es.event[];
BEGIN
    IF n = 0 THEN
        RAISE EXCEPTION 'nothing to append to %', p_stream USING ERRCODE = '22023';
    END IF;
    SELECT array_agg((e ->> 'id')::uuid) INTO ids FROM jsonb_array_elements(p_events) e;
    SELECT count(*), max(version) INTO seen, stream_version
      FROM es.event WHERE event_id = ANY (ids) AND stream_id = p_stream;
    duplicate := seen = n;
    IF duplicate THEN
        RETURN;
    END IF;

    IF p_expected <= 0 THEN
        INSERT INTO es.stream AS s (stream_id, stream_type, version, last_tx) VALUES (p_stream, kind, n, log_tx)
        ON CONFLICT (stream_id) DO UPDATE SET version = s.version + n, last_tx = greatest(s.last_tx, log_tx)
           WHERE p_expected = -1
        RETURNING s.version, s.last_tx INTO stream_version, stream_tx;
    ELSE
        UPDATE es.stream s SET version = s.version + n, last_tx = greatest(s.last_tx, log_tx)
         WHERE s.stream_id = p_stream AND s.version = p_expected
        RETURNING s.version, s.last_tx INTO stream_version, stream_tx;
    END IF;
    IF stream_tx IS NULL THEN
        RAISE EXCEPTION 'stream % is not at version %', p_stream, p_expected USING ERRCODE = 'ES001';
    END IF;

    WITH written AS (
        INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
        SELECT stream_tx, own_xid, p_stream, stream_version - n + ord, (e ->> 'id')::uuid, e ->> 'type', e -> 'data', e -> 'metadata'
          FROM jsonb_array_elements(p_events) WITH ORDINALITY AS listed (e, ord) ORDER BY ord
        RETURNING w
    )
    SELECT array_agg(w ORDER BY (w).version) INTO appended FROM written;

    IF p_events @? '$[*].job' THEN
        INSERT INTO es.job (id, service, kind, subject, requested_by)
        SELECT (e ->> 'id')::uuid, e #>> '{job,service}', e #>> '{job,kind}', p_stream, (e #>> '{job,requested_by}')::integer
          FROM jsonb_array_elements(p_events) WITH ORDINALITY AS listed (e, ord) WHERE e ? 'job' ORDER BY ord;
    END IF;

    PERFORM project(kind, appended);

    -- Rows get their id while the stream's row lock is held, so the order of the outbox is the order of the stream.
    INSERT INTO es.outbox (lane, topic, key, event_id)
    SELECT p_lane, p_topic, p_stream, id FROM unnest(ids) WITH ORDINALITY AS listed (id, ord) ORDER BY ord;
END $$;
