-- All grants of each role. Applied by every migration, in one transaction with the REVOKEs; idempotent.
-- A release keeps the grants that processes of the previous release need. The next release removes them.
REVOKE ALL ON ALL TABLES IN SCHEMA es, public, vault
  FROM placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance, placewire_relay;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA es, public, vault
  FROM placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance, placewire_relay;

GRANT USAGE ON SCHEMA es TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance, placewire_relay;
GRANT USAGE ON SCHEMA vault TO placewire_api, placewire_exporter;

-- Every process waits for the schema of its release (`placewire migrate --wait`).
GRANT SELECT ON alembic_version, schema_object
   TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance, placewire_relay;

-- Appending (es.append) and jobs.
GRANT SELECT ON es.epoch TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance, placewire_relay;
GRANT SELECT, INSERT, UPDATE ON es.stream TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance;
GRANT SELECT, INSERT ON es.event TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance;
GRANT INSERT ON es.outbox TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance;
GRANT SELECT, UPDATE ON es.job TO placewire_api, placewire_eligibility, placewire_exporter, placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON es.probe TO placewire_eligibility, placewire_exporter, placewire_maintenance;
-- A consumer that receives no probe checks whether the relay sends any (chassis/messaging/kafka.py).
GRANT SELECT (lane, queued_at) ON es.outbox TO placewire_eligibility, placewire_exporter;

-- The relay.
GRANT SELECT, INSERT, UPDATE, DELETE ON es.outbox TO placewire_relay;
GRANT SELECT ON es.event TO placewire_relay;

-- The API.
GRANT SELECT ON es.outbox, es.probe TO placewire_api;
GRANT INSERT ON es.job TO placewire_api;
GRANT SELECT, INSERT ON es.dead_letter_action TO placewire_api;
GRANT SELECT, UPDATE ON es.subscription TO placewire_api; -- `placewire subscriptions`
GRANT SELECT, INSERT, UPDATE ON users, credentials, students, job_domains, idempotency_keys, password_links, exports
   TO placewire_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON drives, attendance TO placewire_api;
GRANT SELECT, INSERT, DELETE ON registrations, finished_drives, notifications TO placewire_api;
GRANT SELECT, INSERT, UPDATE ON notification_reads, notification_read_marks TO placewire_api;
GRANT SELECT, INSERT ON requested_selection, access_log TO placewire_api;
GRANT SELECT, DELETE ON evaluations TO placewire_api;
GRANT SELECT ON selections, view_refresh, expiry, withdrawn_exports TO placewire_api;
GRANT SELECT ON registrations_per_drive, drives_over_time, attendance_trend, branch_counts, drive_funnel TO placewire_api;
GRANT USAGE ON SEQUENCE user_id_seq, drive_id_seq, registration_id_seq, attendance_id_seq TO placewire_api;
-- Only the API writes personal data and reads all of it.
GRANT SELECT, INSERT ON vault.person, vault.kept_answer TO placewire_api;
GRANT SELECT ON vault.erasure TO placewire_api;

-- Eligibility. It may read every column of students except the roll number, which an evaluation does not need.
GRANT SELECT (student_id, branch, branch_key, batch_year, tenth_percent, twelfth_percent, diploma_percent, cgpa,
              active_backlogs, active) ON students TO placewire_eligibility;
GRANT SELECT ON drives, requested_selection, registrations TO placewire_eligibility;
GRANT SELECT, INSERT, UPDATE ON evaluations TO placewire_eligibility;
GRANT SELECT, INSERT, UPDATE (revoked_version, revoked_at) ON selections TO placewire_eligibility;
GRANT INSERT ON notifications TO placewire_eligibility;

-- The exporter reads current details in users and students. It reads earlier roll numbers in vault.person, because the file of a
-- finished drive shows those of its time. In credentials it sees whether an account has a password, not the hash.
GRANT SELECT ON students, drives, job_domains, selections, registrations, attendance, finished_drives TO placewire_exporter;
GRANT SELECT (user_id, name, email, role, department, active) ON users TO placewire_exporter;
GRANT SELECT (user_id) ON credentials TO placewire_exporter;
GRANT SELECT (person_id, version, roll_number) ON vault.person TO placewire_exporter;
GRANT SELECT (person_id) ON vault.erasure TO placewire_exporter;
GRANT SELECT, UPDATE ON exports TO placewire_exporter;
GRANT SELECT, INSERT, UPDATE ON password_links TO placewire_exporter;

-- Maintenance. It locks rows before it deletes them. FOR UPDATE needs the right to update at least one column.
GRANT INSERT, DELETE ON es.job TO placewire_maintenance;
GRANT SELECT ON es.outbox, es.subscription TO placewire_maintenance;
GRANT SELECT, MAINTAIN ON registrations_per_drive, drives_over_time, attendance_trend, branch_counts, drive_funnel
   TO placewire_maintenance;
GRANT SELECT, INSERT, UPDATE ON view_refresh, expiry TO placewire_maintenance;
GRANT SELECT, UPDATE ON exports TO placewire_maintenance;
GRANT SELECT, DELETE, UPDATE (fingerprint, committed, answer, created_at, expired) ON idempotency_keys TO placewire_maintenance;
GRANT SELECT, DELETE ON notification_reads, withdrawn_exports TO placewire_maintenance;
GRANT SELECT ON notifications TO placewire_maintenance;
GRANT SELECT, DELETE, UPDATE (used_at) ON password_links TO placewire_maintenance;

-- Functions that run with the owner's rights.
REVOKE ALL ON FUNCTION vault.delete_kept_answer() FROM PUBLIC;
REVOKE ALL ON FUNCTION vault.erase_person(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.erase_person(integer) TO placewire_api;
REVOKE ALL ON FUNCTION maintain_access_log(timestamptz, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION maintain_access_log(timestamptz, interval) TO placewire_maintenance;
