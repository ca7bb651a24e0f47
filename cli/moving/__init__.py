"""A move of the log to another server: closed on the old one, adopted on the new one."""
