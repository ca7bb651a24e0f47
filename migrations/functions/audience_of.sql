-- Return the audience of an evaluation's notification: USER if it evaluated a single student, else the second argument (SELECTED or
-- DESELECTED). The list of each member of such an audience must check the notification, so USER is cheaper.
CREATE OR REPLACE FUNCTION audience_of(e es.event, otherwise text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN e.data #>> '{students,first}' = e.data #>> '{students,last}' THEN 'USER' ELSE otherwise END
$$;
