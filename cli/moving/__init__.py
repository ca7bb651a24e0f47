"""The log on its way to another server: closed on the old one, adopted on the new one."""
