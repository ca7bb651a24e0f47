-- Projection: users and students, from enrolments and revised records, with personal details from the vault. If events has several
-- revisions of a student's record, the last one counts.
--
-- requires: vault.shown_email, vault.shown_name, vault.shown_roll_number
CREATE OR REPLACE FUNCTION project_student(events es.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO users (user_id, name, email, role, department, person_version, access_changed_at, created_at)
    SELECT p.id, vault.shown_name(v.name), vault.shown_email(v.email, p.id), 'STUDENT', e.data ->> 'department', p.version,
           e.recorded_at, e.recorded_at
      FROM unnest(events) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'student_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     WHERE e.type = 'placewire.student.enrolled.v1';

    INSERT INTO students (student_id, roll_number, branch, batch_year, tenth_percent, twelfth_percent, diploma_percent,
                          cgpa, active_backlogs)
    SELECT p.id, vault.shown_roll_number(v.roll_number, p.id), r.branch, r.batch_year, r.tenth_percent, r.twelfth_percent,
           r.diploma_percent, r.cgpa, r.active_backlogs
      FROM unnest(events) e
     CROSS JOIN LATERAL (SELECT (e.data ->> 'student_id')::integer, (e.data ->> 'person_version')::integer) p (id, version)
      LEFT JOIN vault.person v ON v.person_id = p.id AND v.version = p.version
     CROSS JOIN LATERAL jsonb_to_record(e.data -> 'record') AS r(branch text, batch_year integer, tenth_percent numeric,
           twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE e.type = 'placewire.student.enrolled.v1';

    UPDATE students s
       SET branch = r.branch, batch_year = r.batch_year, tenth_percent = r.tenth_percent,
           twelfth_percent = r.twelfth_percent, diploma_percent = r.diploma_percent, cgpa = r.cgpa,
           active_backlogs = r.active_backlogs
      FROM (SELECT DISTINCT ON (stream_id) data FROM unnest(events)
             WHERE type = 'placewire.student.record-revised.v1' ORDER BY stream_id, version DESC) e,
           jsonb_to_record(e.data -> 'record') AS r(branch text, batch_year integer, tenth_percent numeric,
           twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
     WHERE s.student_id = (e.data ->> 'student_id')::integer;
END $$;
