-- Transaction ids belong to one server. The log records them with the offset of its current epoch added, so recorded values
-- of all epochs compare with each other, and a log that has moved to another server goes on above everything recorded.
-- `placewire adopt-log` opens the next epoch after a move; docs/operations.md has the steps.
--
-- Only the functions here use the server's own ids for what is recorded (tests/integration/test_log_functions.py).

-- first_xid: every value recorded in this epoch is at least this, every one of an earlier epoch is below it.
-- closed_at: no event may be appended (`placewire close-log`). sequences: their values then, which no replication copies.
CREATE TABLE es.epoch (
    number integer PRIMARY KEY,
    xid_offset bigint NOT NULL,
    first_xid xid8 NOT NULL,
    system_identifier bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    sequences jsonb
);
INSERT INTO es.epoch (number, xid_offset, first_xid, system_identifier)
SELECT 1, 0, '0', system_identifier FROM pg_control_system();
GRANT SELECT ON es.epoch TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance, placewire_relay;

-- The offset of the current epoch, as a constant: the planner inlines it and the functions below, so they cost nothing.
-- `placewire adopt-log` replaces it; no migration may. When it differs from es.epoch nothing can be appended (es.enter_log).
-- STABLE, not IMMUTABLE: a plan that has inlined it is planned again when it is replaced.
CREATE FUNCTION es.log_offset() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 0::bigint';

-- This transaction's own id, as event.xid holds it. In a statement about many rows: (SELECT es.log_xid()), computed once.
CREATE FUNCTION es.log_xid() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (pg_current_xact_id()::text::bigint + es.log_offset())::text::xid8
$$;

-- The newest id begun by now, this transaction's own included: what event.tx is at least (es.append).
CREATE FUNCTION es.log_tx() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (greatest(pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)
            + es.log_offset())::text::xid8
$$;

-- Every transaction below it has ended, so no event can appear there any more.
CREATE FUNCTION es.log_horizon() RETURNS xid8 LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + es.log_offset())::text::xid8
$$;

-- The current snapshot. With pg_visible_in_snapshot(event.xid, …) it answers for the events of every epoch, in any later one.
CREATE FUNCTION es.log_snapshot() RETURNS pg_snapshot LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    own CONSTANT pg_snapshot := pg_current_snapshot();
    xid_offset CONSTANT bigint := es.log_offset();
BEGIN
    IF xid_offset = 0 THEN
        RETURN own;
    END IF;
    RETURN (SELECT format('%s:%s:%s', pg_snapshot_xmin(own)::text::bigint + xid_offset,
                          pg_snapshot_xmax(own)::text::bigint + xid_offset,
                          string_agg((xid::text::bigint + xid_offset)::text, ',' ORDER BY xid))::pg_snapshot
              FROM pg_snapshot_xip(own) AS xid);
END $$;

-- 'committed', 'aborted' or 'in progress', for a result of es.log_xid(). Null: ended so long ago that the status is gone, or
-- on another server. An id above the current snapshot is used again only after a failover.
CREATE FUNCTION es.log_xid_status(p_xid xid8) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    own CONSTANT xid8 := (p_xid::text::bigint - es.log_offset())::text::xid8;
BEGIN
    IF p_xid < (SELECT e.first_xid FROM es.epoch e ORDER BY e.number DESC LIMIT 1) THEN
        RETURN NULL;
    END IF;
    RETURN CASE WHEN own < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(own) ELSE 'in progress' END;
END $$;

-- Why `placewire adopt-log` is needed before anything may write here; null: it is not. A backup restored with its server, a
-- promoted standby and a dump restored into the same server need none.
--   NO_EPOCH         the schema was restored without its rows
--   OTHER_SERVER     the rows come from another server: a restored dump, logical replication, pg_upgrade
--   AHEAD_OF_SERVER  recorded values are above this server's transaction ids, so its readers would not see those events
--   OFFSET_DIFFERS   es.log_offset() is not the current epoch's
CREATE FUNCTION es.adoption_reason() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT CASE
               WHEN e.number IS NULL THEN 'NO_EPOCH'
               WHEN e.system_identifier <> (SELECT c.system_identifier FROM pg_control_system() c) THEN 'OTHER_SERVER'
               WHEN e.xid_offset <> es.log_offset() THEN 'OFFSET_DIFFERS'
               -- Normally an empty range of the index, so that it costs nothing while a large import runs.
               WHEN EXISTS (
                   SELECT FROM es.event v
                    WHERE v.tx > (greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1,
                                           pg_current_xact_id_if_assigned()::text::bigint) + e.xid_offset)::text::xid8)
               THEN 'AHEAD_OF_SERVER'
           END
      FROM (SELECT) one LEFT JOIN LATERAL (SELECT * FROM es.epoch p ORDER BY p.number DESC LIMIT 1) e ON true
$$;

-- Every transaction that writes events holds the log's lock shared until it ends (0008). Raises ES003 when the log is closed,
-- ES004 when it must be adopted. A session stays on one server, so that is checked once in each.
CREATE OR REPLACE FUNCTION es.enter_log() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    epoch es.epoch;
    reason text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7461923008);
    SELECT * INTO epoch FROM es.epoch ORDER BY number DESC LIMIT 1;
    IF epoch.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'the log is closed' USING ERRCODE = 'ES003', HINT = 'See `placewire close-log --help`.';
    END IF;
    IF epoch.number IS NULL OR epoch.xid_offset <> es.log_offset()
       OR current_setting('placewire.server', true) IS DISTINCT FROM epoch.system_identifier::text THEN
        reason := es.adoption_reason();
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION 'the log has moved to this server and is not adopted (%)', reason
                  USING ERRCODE = 'ES004', HINT = 'Run `placewire adopt-log`.';
        END IF;
        PERFORM set_config('placewire.server', epoch.system_identifier::text, false);
    END IF;
    RETURN NULL;
END $$;

-- As before (0001, 0009, 0019), with transaction ids of the log.
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
        INSERT INTO es.job (id, service, kind, subject, asked_by)
        SELECT (e ->> 'id')::uuid, e #>> '{job,service}', e #>> '{job,kind}', p_stream, (e #>> '{job,asked_by}')::integer
          FROM jsonb_array_elements(p_events) WITH ORDINALITY AS listed (e, ord) WHERE e ? 'job' ORDER BY ord;
    END IF;

    PERFORM project(kind, appended);

    -- The identity is drawn while the stream's row lock is held, so outbox order is stream order.
    INSERT INTO es.outbox (lane, topic, key, event_id)
    SELECT p_lane, p_topic, p_stream, id FROM unnest(ids) WITH ORDINALITY AS listed (id, ord) ORDER BY ord;
END $$;

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

    WITH asked AS MATERIALIZED (
        SELECT e, ord FROM jsonb_array_elements(p_events) WITH ORDINALITY AS listed (e, ord)
    ), heads AS (
        UPDATE es.stream s SET version = s.version + 1, last_tx = greatest(s.last_tx, log_tx)
          FROM asked a WHERE s.stream_id = a.e ->> 'stream'
        RETURNING s.stream_id, s.version, s.last_tx, a.e, a.ord
    ), written AS (
        INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
        SELECT last_tx, own_xid, stream_id, version, (e ->> 'id')::uuid, e ->> 'type', e -> 'data', e -> 'metadata'
          FROM heads ORDER BY ord
        RETURNING w
    ), jobs AS (
        INSERT INTO es.job (id, service, kind, subject, asked_by)
        SELECT (e ->> 'id')::uuid, e #>> '{job,service}', e #>> '{job,kind}', stream_id, (e #>> '{job,asked_by}')::integer
          FROM heads ORDER BY ord
    )
    SELECT array_agg(w ORDER BY (w).position) INTO appended FROM written;

    PERFORM project(kind, appended);

    INSERT INTO es.outbox (lane, topic, key, event_id)
    SELECT p_lane, p_topic, (e).stream_id, (e).event_id FROM unnest(appended) e;
    RETURN cardinality(appended);
END $$;

CREATE OR REPLACE FUNCTION register(
    p_drive integer, p_student integer, p_event_id uuid, p_metadata jsonb,
    OUT outcome text, OUT registration_id integer, OUT registered_at timestamptz
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    stream CONSTANT text := format('registration-%s-%s', p_drive, p_student);
    stream_tx xid8;
    appended es.event;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('registration:' || p_drive, 0));
    SELECT CASE
               WHEN d.status IN ('attending', 'finished') THEN 'closed'
               WHEN d.status <> 'posted' THEN 'not posted'
               WHEN s.student_id IS NULL OR NOT s.active OR NOT meets_criteria(
                    s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs, s.branch_key,
                    s.batch_year, d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branch_keys, d.batch_years) THEN 'not eligible'
               WHEN NOT d.auto_published AND NOT EXISTS (
                    SELECT FROM selections c
                     WHERE c.drive_id = p_drive AND c.student_id = p_student AND c.revoked_version IS NULL)
               THEN 'not selected'
               ELSE 'registered'
           END
      INTO outcome
      FROM drives d LEFT JOIN students s ON s.student_id = p_student
     WHERE d.drive_id = p_drive;
    IF NOT FOUND THEN
        outcome := 'no drive';
    END IF;
    IF outcome <> 'registered' THEN
        RETURN;
    END IF;

    INSERT INTO es.stream AS s (stream_id, stream_type, version, last_tx)
    VALUES (stream, 'registration', 1, es.log_tx())
    ON CONFLICT (stream_id) DO NOTHING RETURNING s.last_tx INTO stream_tx;
    IF NOT FOUND THEN
        outcome := 'registered already';
        RETURN;
    END IF;
    registration_id := nextval('registration_id_seq');
    INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
    VALUES (stream_tx, es.log_xid(), stream, 1, p_event_id, 'placewire.registration.registered.v1',
            jsonb_build_object('registration_id', registration_id, 'drive_id', p_drive, 'student_id', p_student), p_metadata)
    RETURNING (w).* INTO appended;
    registered_at := appended.recorded_at;
    PERFORM project_registration(ARRAY[appended]);
    INSERT INTO es.outbox (lane, topic, key, event_id) VALUES (1, 'placewire.registration', stream, p_event_id);
END $$;
