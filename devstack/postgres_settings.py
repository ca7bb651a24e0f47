"""Settings of the Postgres server, embedded or in a container."""

from devstack.ports import LOOPBACK

TUNING = {
    "max_connections": "300",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "timezone": "UTC",
    "shared_preload_libraries": "pg_stat_statements",
    # The server's log quotes no values: no DETAIL of errors ("Key (email)=(…) already exists"), no parameters.
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
}
SETTINGS = {
    **TUNING,
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# For data that is not needed after a crash. Commits do not wait for the disk.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
# Loopback connections are trusted. Sort order and letter case follow Unicode's code points, on every system alike.
INITDB = (
    *("-U", "postgres", "-A", "trust", "-E", "UTF8"),
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
)
