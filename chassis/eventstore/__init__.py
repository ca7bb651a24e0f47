"""The log of events in Postgres: append, read, follow."""
