"""Move the log to another server: close it on the old server, adopt it on the new one."""
