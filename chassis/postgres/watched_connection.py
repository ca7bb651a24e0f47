"""Connections to Postgres that end when their peer no longer answers.

A host that dies, or a network that drops packets, does not close connections. With Linux's defaults a statement would
wait for a quarter of an hour or without end, even after another server has taken over.
"""

import os
import socket
from typing import Any

import asyncpg

# Connections end after 10 s of silence, with data in flight (TCP_USER_TIMEOUT) or without (keep-alive).
SILENT_S = 10
KEEP_ALIVE = {
    (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): 4,
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): 2,
    (socket.IPPROTO_TCP, "TCP_KEEPCNT"): 3,
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): SILENT_S * 1000,
}


class WatchedConnection(asyncpg.Connection):
    """A connection with the options ``KEEP_ALIVE``, for ``asyncpg.connect(connection_class=…)``."""

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        end_when_silent(transport)


def end_when_silent(transport: Any) -> None:
    """Set the ``KEEP_ALIVE`` options that this system supports on a TCP socket of ``transport``."""
    original = transport.get_extra_info("socket")
    if original is None or original.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # uvloop returns a wrapper without setsockopt(). Options belong to the open file, so a duplicate can set them.
    with socket.socket(fileno=os.dup(original.fileno())) as duplicate:
        for (level, name), value in KEEP_ALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                duplicate.setsockopt(level, option, value)
