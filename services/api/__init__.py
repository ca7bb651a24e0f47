"""The public HTTP API: decides commands, records events, answers queries."""
