-- The event store: streams, events, outbox, jobs. No business word in here but the call of project().
CREATE SCHEMA es;

CREATE TABLE es.stream (
    stream_id text PRIMARY KEY,
    stream_type text NOT NULL,
    version bigint NOT NULL,
    last_tx xid8 NOT NULL
);

-- tx orders the whole log without gaps (see append); xid is the transaction that really wrote the row.
CREATE TABLE es.event (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx xid8 NOT NULL,
    xid xid8 NOT NULL,
    stream_id text NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT event_stream_version UNIQUE (stream_id, version),
    CONSTRAINT event_event_id UNIQUE (event_id)
);
CREATE INDEX event_tx_position ON es.event (tx, position);

CREATE FUNCTION es.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'es.event is append-only' USING ERRCODE = '42501';
END $$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE ON es.event
    FOR EACH ROW EXECUTE FUNCTION es.refuse_change();
CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON es.event
    FOR EACH STATEMENT EXECUTE FUNCTION es.refuse_change();

-- A row without event_id carries its own body in extra (a canary); beside an event_id, extra is added to its headers.
CREATE TABLE es.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane smallint NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    event_id uuid,
    extra jsonb,
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    quarantined_at timestamptz,
    error text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX outbox_lane ON es.outbox (lane, id);
CREATE INDEX outbox_quarantine ON es.outbox (key) WHERE quarantined_at IS NOT NULL;

-- The job row is the inbox row of the one service that must act on the event: id = event id.
CREATE TABLE es.job (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    service text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    via text,
    progress jsonb,
    result jsonb,
    error text,
    attempts integer NOT NULL DEFAULT 0,
    dead boolean NOT NULL DEFAULT false,
    asked_by integer,
    fence bigint NOT NULL DEFAULT 0,
    owner text,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    received_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX job_unfinished ON es.job (service, seq) WHERE finished_at IS NULL;
CREATE INDEX job_dead ON es.job (service, seq) WHERE dead;
CREATE INDEX job_asked_by ON es.job (asked_by, seq);
CREATE INDEX job_seq ON es.job (seq);

CREATE TABLE es.undecodable (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    error text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT undecodable_once UNIQUE (service, topic, partition, "offset")
);

CREATE TABLE es.canary (
    service text PRIMARY KEY,
    sent_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Adds p_events to p_stream after version p_expected (0: the stream must be new; -1: wherever it stands) and
-- writes outbox, jobs and read tables with them. p_events: [{id, type, data, metadata, job?: {service, kind, asked_by}}].
-- The same event ids again change nothing and answer duplicate. Raises ES001 on a wrong expected version.
--
-- tx = greatest(own xid, newest xid begun by now, the stream's last tx), under the stream's row lock: never below the
-- real xid, so a reader that stays below pg_snapshot_xmin() misses nothing; never falling within a stream, so it keeps
-- each in order; and not below that of any event this one can have been decided on, whichever stream that is in, though
-- this transaction may have drawn its id before that event was written.
CREATE FUNCTION es.append(
    p_stream text, p_expected bigint, p_topic text, p_lane smallint, p_events jsonb,
    OUT stream_version bigint, OUT duplicate boolean
) LANGUAGE plpgsql AS $$
DECLARE
    n CONSTANT integer := jsonb_array_length(p_events);
    kind CONSTANT text := split_part(p_stream, '-', 1);
    me CONSTANT xid8 := pg_current_xact_id();
    place CONSTANT xid8 := greatest(me, (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8);
    ids uuid[];
    seen integer;
    carried xid8;
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
        INSERT INTO es.stream AS s (stream_id, stream_type, version, last_tx) VALUES (p_stream, kind, n, place)
        ON CONFLICT (stream_id) DO UPDATE SET version = s.version + n, last_tx = greatest(s.last_tx, place)
           WHERE p_expected = -1
        RETURNING s.version, s.last_tx INTO stream_version, carried;
    ELSE
        UPDATE es.stream s SET version = s.version + n, last_tx = greatest(s.last_tx, place)
         WHERE s.stream_id = p_stream AND s.version = p_expected
        RETURNING s.version, s.last_tx INTO stream_version, carried;
    END IF;
    IF carried IS NULL THEN
        RAISE EXCEPTION 'stream % is not at version %', p_stream, p_expected USING ERRCODE = 'ES001';
    END IF;

    WITH written AS (
        INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
        SELECT carried, me, p_stream, stream_version - n + ord, (e ->> 'id')::uuid, e ->> 'type', e -> 'data', e -> 'metadata'
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

-- Queued jobs become received; a second delivery, an unknown id and a job of another service change nothing.
CREATE FUNCTION es.receive(p_service text, p_ids uuid[], p_via text) RETURNS SETOF uuid LANGUAGE sql AS $$
    UPDATE es.job SET state = 'received', via = p_via, received_at = clock_timestamp()
     WHERE id = ANY (p_ids) AND service = p_service AND state = 'queued'
    RETURNING id
$$;

-- Takes up to p_limit received or abandoned jobs, oldest first. Plan: index scan on job_unfinished.
CREATE FUNCTION es.claim(p_service text, p_limit integer, p_owner text, p_lease interval)
RETURNS TABLE (id uuid, fence bigint, attempts integer, kind text, subject text, asked_by integer, via text,
               queued_at timestamptz, stream_version bigint, type text, data jsonb, metadata jsonb)
LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT j.id FROM es.job j
         WHERE j.service = p_service AND j.finished_at IS NULL AND j.received_at IS NOT NULL
           AND j.lease_until < clock_timestamp()
         ORDER BY j.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE es.job j SET state = 'running', owner = p_owner, fence = j.fence + 1, attempts = j.attempts + 1,
               lease_until = clock_timestamp() + p_lease, started_at = clock_timestamp()
          FROM waiting w WHERE j.id = w.id
        RETURNING j.*
    )
    SELECT c.id, c.fence, c.attempts, c.kind, c.subject, c.asked_by, c.via, c.queued_at, e.version, e.type, e.data, e.metadata
      FROM claimed c JOIN es.event e ON e.event_id = c.id ORDER BY c.seq
$$;

-- Ends a running job. Raises ES002 when p_fence is not the job's any more: somebody else runs it, or it has ended.
CREATE FUNCTION es.finish(p_id uuid, p_fence bigint, p_state text, p_result jsonb, p_error text, p_dead boolean)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE es.job SET state = p_state, result = p_result, error = p_error, dead = p_dead,
           finished_at = clock_timestamp(), lease_until = '-infinity'
     WHERE id = p_id AND fence = p_fence AND finished_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % is no longer held with fence %', p_id, p_fence USING ERRCODE = 'ES002';
    END IF;
END $$;
