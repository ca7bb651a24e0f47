"""Move the log to another server: close the log on the old server, adopt it on the new server."""
