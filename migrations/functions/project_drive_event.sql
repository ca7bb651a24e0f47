-- Apply one event of a drive (project_drive).
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
