-- The checkpoint of each subscription: (tx, position) is the place in the log (0001) of the last event that it has handled.
-- fence grows with every new active replica and every reset; a transaction that carries an older one changes nothing.
-- failed_at and error: the subscription has stopped before an event, until an operator resets or retries it.
CREATE TABLE es.subscription (
    name text PRIMARY KEY CHECK (name <> ''),
    tx xid8 NOT NULL DEFAULT '0',
    position bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    failed_at timestamptz,
    error text
) WITH (fillfactor = 50);

-- The role of a reader gets SELECT, INSERT and UPDATE in the migration that adds the reader (docs/subscriptions.md).
GRANT SELECT ON es.subscription TO placewire_maintenance; -- it measures the lag
GRANT SELECT, UPDATE ON es.subscription TO placewire_api; -- `placewire subscriptions`
