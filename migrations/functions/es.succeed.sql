-- Append events, then end jobs as succeeded, each with its result. Entry i of the last four arrays has the events for one stream, at
-- any version. Streams are written in the order of the arrays. Raises the errors of es.append and es.finish.
--
-- requires: es.append, es.finish
CREATE OR REPLACE FUNCTION es.succeed(p_ids uuid[], p_fences uuid[], p_channels text[], p_results jsonb[],
                           p_streams text[], p_topics text[], p_lanes smallint[], p_events jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es.append(one.stream, -1, one.topic, one.lane, one.events)
       FROM unnest(p_streams, p_topics, p_lanes, p_events) AS one (stream, topic, lane, events);
    PERFORM es.finish(ended.id, ended.fence, ended.channel, 'succeeded', ended.result, NULL, false)
       FROM unnest(p_ids, p_fences, p_channels, p_results) AS ended (id, fence, channel, result);
END $$;
