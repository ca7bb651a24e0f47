-- The audience of an evaluation's notification: the given one (SELECTED or DESELECTED), but USER when it evaluated one student
-- alone, because a notification for an audience is looked at for each of its members.
CREATE OR REPLACE FUNCTION audience_of(e es.event, otherwise text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN e.data #>> '{students,first}' = e.data #>> '{students,last}' THEN 'USER' ELSE otherwise END
$$;
