-- Apply one event of an export (project_export). A failed export may be completed later, if its job is redriven.
CREATE OR REPLACE FUNCTION project_export_event(e es.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id CONSTANT uuid := (e.data ->> 'export_id')::uuid;
BEGIN
    CASE e.type
    WHEN 'placewire.export.requested.v1' THEN
        INSERT INTO exports (export_id, kind, format, drive_id, columns, byte_order_mark, delimiter, requested_by,
                             requested_at, state)
        SELECT id, r.kind, r.format, r.drive_id, r.columns, r.byte_order_mark, r.delimiter,
               (e.metadata ->> 'actor_id')::integer, e.recorded_at, 'requested'
          FROM jsonb_to_record(e.data) AS r(kind text, format text, drive_id integer, columns text[],
               byte_order_mark boolean, delimiter text);
    WHEN 'placewire.export.invitations-requested.v1' THEN
        INSERT INTO exports (export_id, kind, format, columns, byte_order_mark, delimiter, requested_by, requested_at,
                             state)
        VALUES (id, 'invitations', 'csv',
                ARRAY['student_id', 'roll_number', 'name', 'email', 'branch', 'batch_year', 'link', 'expires_at'],
                (e.data ->> 'byte_order_mark')::boolean, e.data ->> 'delimiter',
                (e.metadata ->> 'actor_id')::integer, e.recorded_at, 'requested');
    WHEN 'placewire.export.completed.v1' THEN
        UPDATE exports x
           SET state = 'completed', path = c.path, rows = c.rows, size_bytes = c.size_bytes, sha256 = c.sha256,
               snapshot = c.snapshot, ended_at = e.recorded_at, expires_at = c.expires_at, reason = NULL
          FROM jsonb_to_record(e.data) AS c(path text, rows bigint, size_bytes bigint, sha256 text, snapshot text,
               expires_at timestamptz)
         WHERE x.export_id = id;
    WHEN 'placewire.export.failed.v1' THEN
        UPDATE exports SET state = 'failed', ended_at = e.recorded_at, reason = e.data ->> 'reason' WHERE export_id = id;
    WHEN 'placewire.export.cancelled.v1' THEN
        UPDATE exports SET state = 'cancelled', ended_at = e.recorded_at WHERE export_id = id;
    WHEN 'placewire.export.expired.v1' THEN
        UPDATE exports SET state = 'expired' WHERE export_id = id;
    ELSE
        NULL;
    END CASE;
END $$;
