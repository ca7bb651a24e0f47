-- The past, and evaluations of some students alone.
--
-- list_version: the version of the publication whose list is in force; null: everyone eligible is selected. So a change
-- of marks finds the drives it concerns in one statement (services/api/students/reevaluation.py).
ALTER TABLE drives ADD COLUMN list_version bigint;

CREATE OR REPLACE FUNCTION project_drive_event(e es.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id CONSTANT integer := (e.data ->> 'drive_id')::integer;
    posting CONSTANT jsonb := e.data -> 'posting';
BEGIN
    CASE e.type
    WHEN 'placewire.drive.reevaluation-requested.v1' THEN
        UPDATE drives SET version = e.version WHERE drive_id = id;
        RETURN;
    WHEN 'placewire.drive.created.v1' THEN
        INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                            auto_published, attendance_published)
        VALUES (id, e.version, '', '', '', (e.data ->> 'posted_by')::integer, e.recorded_at, 'pending', false, false);
    WHEN 'placewire.drive.published.v1' THEN
        UPDATE drives SET status = 'posted', published_at = e.recorded_at,
               published_by = (e.data ->> 'published_by')::integer,
               auto_published = (e.data ->> 'auto_published')::boolean,
               list_version = CASE WHEN coalesce(e.data -> 'requested', 'null') <> 'null' THEN e.version END
         WHERE drive_id = id;
    WHEN 'placewire.drive.registrations-stopped.v1' THEN
        UPDATE drives SET status = 'attending' WHERE drive_id = id;
    WHEN 'placewire.drive.attendance-published.v1' THEN
        UPDATE drives SET status = 'finished', attendance_published = true WHERE drive_id = id;
        INSERT INTO finished_drives (drive_id, finished_date, total_registered, total_present, total_absent, company_name,
                                     job_title, interview_date, pdf_path, domain_id)
        SELECT id, e.recorded_at, (e.data ->> 'registered')::integer, (e.data ->> 'present')::integer,
               (e.data ->> 'absent')::integer, d.company_name, d.job_title, d.interview_date, d.pdf_path, d.domain_id
          FROM drives d WHERE d.drive_id = id;
    WHEN 'placewire.drive.deleted.v1' THEN
        DELETE FROM drives WHERE drive_id = id;
        DELETE FROM evaluations WHERE drive_id = id;
        DELETE FROM registrations WHERE drive_id = id;
        DELETE FROM attendance WHERE drive_id = id;
        DELETE FROM finished_drives WHERE drive_id = id;
    ELSE
        NULL;
    END CASE;
    IF posting IS NOT NULL THEN
        UPDATE drives
           SET company_name = posting ->> 'company_name', job_title = posting ->> 'job_title',
               job_description = posting ->> 'job_description', domain_id = (posting ->> 'domain_id')::integer,
               interview_date = (posting ->> 'interview_date')::date, pdf_path = posting ->> 'pdf_path',
               min_cgpa = c.min_cgpa, min_10th = c.min_10th, min_12th = c.min_12th, max_backlogs = c.max_backlogs,
               branches = c.branches, batch_years = c.batch_years
          FROM jsonb_to_record(posting -> 'criteria') AS c(min_cgpa numeric, min_10th numeric, min_12th numeric,
               max_backlogs integer, branches text[], batch_years integer[])
         WHERE drive_id = id;
    END IF;
    UPDATE drives SET version = e.version WHERE drive_id = id;
END $$;

UPDATE drives d SET list_version = p.version
  FROM (SELECT DISTINCT ON (stream_id) (data ->> 'drive_id')::integer AS drive_id, data -> 'requested' AS requested, version
          FROM es.event WHERE type = 'placewire.drive.published.v1' ORDER BY stream_id, version DESC) p
 WHERE d.drive_id = p.drive_id AND coalesce(p.requested, 'null') <> 'null';

-- An evaluation of some students alone (`students`) brings the figures up to date, and answers no version of the drive.
-- Of a listed drive `eligible` stays as the last evaluation of everyone counted it.
CREATE OR REPLACE FUNCTION project_eligibility(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO evaluations (drive_id, drive_version, job_id, applied, eligible, selected, evaluated_at)
    SELECT DISTINCT ON (1) (e.data ->> 'drive_id')::integer, (e.data ->> 'drive_version')::bigint,
           (e.data ->> 'job_id')::uuid, (e.data ->> 'applied')::boolean, (e.data ->> 'eligible')::integer,
           (e.data #>> '{selected,count}')::integer, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     WHERE e.type = 'placewire.eligibility.evaluated.v1' AND coalesce(e.data -> 'students', 'null') = 'null'
     ORDER BY 1, e.version DESC
    ON CONFLICT (drive_id) DO UPDATE
       SET drive_version = excluded.drive_version, job_id = excluded.job_id, applied = excluded.applied,
           eligible = excluded.eligible, selected = excluded.selected, evaluated_at = excluded.evaluated_at;

    UPDATE evaluations v
       SET eligible = (e.data ->> 'eligible')::integer, selected = (e.data #>> '{selected,count}')::integer,
           evaluated_at = e.recorded_at
      FROM (SELECT DISTINCT ON (stream_id) * FROM unnest(events)
             WHERE type = 'placewire.eligibility.evaluated.v1' ORDER BY stream_id, version DESC) e
     WHERE v.drive_id = (e.data ->> 'drive_id')::integer AND coalesce(e.data -> 'students', 'null') <> 'null';
END $$;

-- Whom an evaluation tells of its difference: 'SELECTED' or 'DESELECTED' (the students whom version drive_version of
-- drive entity_id selected no longer), but 'USER' when it judged one student alone: what is addressed to an audience is
-- looked at for each of its members.
CREATE FUNCTION audience_of(e es.event, otherwise text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN e.data #>> '{students,first}' = e.data #>> '{students,last}' THEN 'USER' ELSE otherwise END
$$;

-- Evaluations from before this revision told nobody that he is out, and do not begin to.
CREATE OR REPLACE FUNCTION notices_of(e es.event)
RETURNS TABLE (ordinal integer, audience text, drive_version bigint, type text, title text, wording text)
LANGUAGE sql STABLE AS $$
    SELECT 0, 'COORDINATOR', NULL::bigint, 'info', 'New Drive Added', '%s has been created and is ready for review.'
     WHERE e.type = 'placewire.drive.created.v1'
    UNION ALL
    SELECT 0, 'STAFF', NULL, 'success', 'New Drive Available', '%s has been auto-published.'
     WHERE e.type = 'placewire.drive.published.v1' AND (e.data ->> 'auto_published')::boolean IS TRUE
    UNION ALL
    SELECT 0, 'STAFF', NULL, 'success', 'Drive Published', '%s is now open for registrations.'
     WHERE e.type = 'placewire.drive.published.v1' AND (e.data ->> 'auto_published')::boolean IS NOT TRUE
    UNION ALL
    SELECT told.*
      FROM (VALUES
               (0, 'REGISTERED', NULL::bigint, 'info', 'Attendance Published', 'Attendance has been published for %s.'),
               (1, 'HEAD', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.'),
               (2, 'COORDINATOR', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.'),
               (3, 'STAFF', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.')
           ) AS told
     WHERE e.type = 'placewire.drive.attendance-published.v1'
    UNION ALL
    SELECT 0, audience_of(e, 'SELECTED'), asked.version, 'success', 'New Drive Available',
           CASE WHEN (asked.data ->> 'auto_published')::boolean THEN '%s has been auto-published.'
                WHEN asked.type = 'placewire.drive.published.v1' AND coalesce(asked.data -> 'requested', 'null') = 'null'
                THEN '%s has been published.'
                ELSE '%s is available for you to register.' END
      FROM es.event asked
     WHERE e.type = 'placewire.eligibility.evaluated.v1' AND (e.data ->> 'applied')::boolean
       AND (e.data #>> '{added,count}')::integer > 0
       AND NOT stopped_before((e.data ->> 'drive_id')::integer, (e.data ->> 'snapshot')::pg_snapshot)
       AND asked.stream_id = 'drive-' || (e.data ->> 'drive_id') AND asked.version = (e.data ->> 'drive_version')::bigint
    UNION ALL
    SELECT told.*
      FROM (SELECT (e.data ->> 'drive_version')::bigint AS version, (e.data #>> '{revoked,count}')::integer AS revoked,
                   (e.data ->> 'registered_no_longer_eligible')::integer AS registered) AS found
     CROSS JOIN LATERAL (
         SELECT 1, audience_of(e, 'DESELECTED'), found.version, 'warning', 'No Longer Selected',
                'You are no longer selected for %s. If you have registered, your registration stays.'
          WHERE found.revoked > 0
         UNION ALL
         SELECT ordinal, audience, found.version, 'warning', 'Registered, But No Longer Eligible', found.registered ||
                CASE found.registered
                     WHEN 1 THEN ' registered student is no longer eligible for %s, and stays registered.'
                     ELSE ' registered students are no longer eligible for %s, and stay registered.' END
           FROM (VALUES (2, 'COORDINATOR'), (3, 'STAFF')) AS staff (ordinal, audience)
          WHERE found.registered > 0
     ) AS told
     WHERE e.type = 'placewire.eligibility.evaluated.v1' AND e.data ? 'registered_no_longer_eligible'
       AND NOT stopped_before((e.data ->> 'drive_id')::integer, (e.data ->> 'snapshot')::pg_snapshot)
$$;

CREATE OR REPLACE FUNCTION project_notifications(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone CONSTANT integer[] := ARRAY (
        SELECT (e.data ->> 'drive_id')::integer FROM unnest(events) e WHERE e.type = 'placewire.drive.deleted.v1');
BEGIN
    INSERT INTO notifications (notification_id, event_id, xid, audience, user_id, drive_version, title, message, type,
                               entity_type, entity_id, created_at)
    SELECT e.position * 8 + told.ordinal, e.event_id, e.xid, told.audience,
           CASE told.audience WHEN 'USER' THEN (e.data #>> '{students,first}')::integer END,
           told.drive_version, told.title,
           format(told.wording, drive_name_at(d.drive_id, coalesce(told.drive_version, e.version))), told.type,
           'drive', d.drive_id, e.recorded_at
      FROM unnest(events) e JOIN drives d ON d.drive_id = (e.data ->> 'drive_id')::integer
     CROSS JOIN LATERAL notices_of(e) told
     WHERE e.type <> 'placewire.drive.reevaluation-requested.v1';
    IF cardinality(gone) > 0 THEN
        DELETE FROM notifications WHERE entity_type = 'drive' AND entity_id = ANY (gone);
    END IF;
END $$;

-- Adds one event to each of many streams of one type, all of which exist, wherever they stand; with jobs, read tables
-- and outbox as es.append does it, and in the time of a few statements instead of a few for each stream.
-- p_events: [{stream, id, type, data, metadata, job}]. Streams are locked in the order of the array: who asks the same
-- ones in the same order waits, and never in a circle. Ids are fresh: a repetition is not recognised.
CREATE FUNCTION es.append_each(p_topic text, p_lane smallint, p_events jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    me CONSTANT xid8 := pg_current_xact_id();
    place CONSTANT xid8 := greatest(me, (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8);
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
        UPDATE es.stream s SET version = s.version + 1, last_tx = greatest(s.last_tx, place)
          FROM asked a WHERE s.stream_id = a.e ->> 'stream'
        RETURNING s.stream_id, s.version, s.last_tx, a.e, a.ord
    ), written AS (
        INSERT INTO es.event AS w (tx, xid, stream_id, version, event_id, type, data, metadata)
        SELECT last_tx, me, stream_id, version, (e ->> 'id')::uuid, e ->> 'type', e -> 'data', e -> 'metadata'
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

GRANT SELECT ON registrations TO placewire_eligibility;
