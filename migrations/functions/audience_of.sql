-- Return the audience of an evaluation's notification: USER if the evaluation was of a single student, else the second argument
-- (SELECTED or DESELECTED). USER is cheaper, because only that user's list must check the notification.
CREATE OR REPLACE FUNCTION audience_of(e es.event, otherwise text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN e.data #>> '{students,first}' = e.data #>> '{students,last}' THEN 'USER' ELSE otherwise END
$$;
