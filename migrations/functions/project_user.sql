-- Projection: users and students.active, from events of accounts, with personal details from the vault.
--
-- requires: project_details, vault.shown_email, vault.shown_name
CREATE OR REPLACE FUNCTION project_user(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, person_version, access_changed_at, created_at)
    SELECT p.id, vault.shown_name(v.name), vault.shown_email(v.email, p.id), e.data ->> 'role', e.data ->> 'department',
           p.version, e.recorded_at, e.recorded_at
      FROM unnest(events) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'user_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE e.type = 'placewire.user.created.v1';

    PERFORM project_details(events);

    UPDATE users u
       SET password_version = u.password_version + c.endings, access_version = u.access_version + c.changes,
           access_changed_at = greatest(u.access_changed_at, c.changed_at), role = coalesce(c.role, u.role),
           active = coalesce(c.active, u.active)
      FROM (SELECT (data ->> 'user_id')::integer AS user_id,
                   count(*) FILTER (WHERE type IN ('placewire.user.password-changed.v1',
                                                   'placewire.user.deactivated.v1')) AS endings,
                   count(*) FILTER (WHERE NOT coalesce((data ->> 'first')::boolean, false)) AS changes,
                   max(recorded_at) FILTER (WHERE NOT coalesce((data ->> 'first')::boolean, false)) AS changed_at,
                   (array_agg(data ->> 'role' ORDER BY version DESC)
                       FILTER (WHERE type = 'placewire.user.role-changed.v1'))[1] AS role,
                   (array_agg(type = 'placewire.user.reactivated.v1' ORDER BY version DESC)
                       FILTER (WHERE type IN ('placewire.user.deactivated.v1',
                                              'placewire.user.reactivated.v1')))[1] AS active
              FROM unnest(events)
             WHERE type IN ('placewire.user.password-changed.v1', 'placewire.user.role-changed.v1',
                            'placewire.user.deactivated.v1', 'placewire.user.reactivated.v1')
             GROUP BY 1) c
     WHERE u.user_id = c.user_id;

    UPDATE students s SET active = u.active
      FROM users u
     WHERE s.student_id = u.user_id AND s.active <> u.active
       AND u.user_id IN (SELECT (data ->> 'user_id')::integer FROM unnest(events)
                          WHERE type IN ('placewire.user.deactivated.v1', 'placewire.user.reactivated.v1'));
END $$;
