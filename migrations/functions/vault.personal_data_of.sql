-- Return the number of rows of each kind that an erasure would delete, for a dry run.
--
-- requires: vault.shows_people
CREATE OR REPLACE FUNCTION vault.personal_data_of(
    p_person integer,
    OUT versions bigint, OUT kept_answers bigint, OUT passwords bigint, OUT password_links bigint, OUT read_marks bigint,
    OUT export_files bigint
) LANGUAGE sql STABLE AS $$
    SELECT (SELECT count(*) FROM vault.person WHERE person_id = p_person),
           (SELECT count(*) FROM vault.kept_answer WHERE p_person = ANY (person_ids)),
           (SELECT count(*) FROM credentials WHERE user_id = p_person),
           (SELECT count(*) FROM password_links WHERE user_id = p_person),
           (SELECT count(*) FROM notification_reads WHERE user_id = p_person)
               + (SELECT count(*) FROM notification_read_marks WHERE user_id = p_person),
           (SELECT count(*) FROM exports x
             WHERE x.state = 'completed' AND vault.shows_people(x.kind, x.columns)
               AND NOT EXISTS (SELECT FROM withdrawn_exports w WHERE w.export_id = x.export_id))
$$;
