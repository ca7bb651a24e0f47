-- Return the notifications of one event. %s in wording stands for the drive's name. Ids contain the ordinals, which never change.
--
-- requires: audience_of, registrations_stopped_before
CREATE OR REPLACE FUNCTION notifications_of(e es.event)
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
    SELECT notice.*
      FROM (VALUES
               (0, 'REGISTERED', NULL::bigint, 'info', 'Attendance Published', 'Attendance has been published for %s.'),
               (1, 'HEAD', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.'),
               (2, 'COORDINATOR', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.'),
               (3, 'STAFF', NULL, 'success', 'Drive Completed', '%s has been moved to finished drives.')
           ) AS notice
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
       AND NOT registrations_stopped_before((e.data ->> 'drive_id')::integer, (e.data ->> 'snapshot')::pg_snapshot)
       AND asked.stream_id = 'drive-' || (e.data ->> 'drive_id') AND asked.version = (e.data ->> 'drive_version')::bigint
    UNION ALL
    SELECT notice.*
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
     ) AS notice
     WHERE e.type = 'placewire.eligibility.evaluated.v1' AND e.data ? 'registered_no_longer_eligible'
       AND NOT registrations_stopped_before((e.data ->> 'drive_id')::integer, (e.data ->> 'snapshot')::pg_snapshot)
$$;
