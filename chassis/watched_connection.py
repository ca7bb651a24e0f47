"""Connections to Postgres that end when their other side has vanished.

A host that dies, or a network that swallows packets, closes nothing: without this a statement would wait for its answer
for a quarter of an hour or for ever (Linux's defaults), though another server has long taken over.
"""

import os
import socket
from typing import Any

import asyncpg

# Ended after 10 s without a sign of life, whether something was on its way (TCP_USER_TIMEOUT) or not (keep-alive).
SILENT_S = 10
KEEP_ALIVE = {
    (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): 4,
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): 2,
    (socket.IPPROTO_TCP, "TCP_KEEPCNT"): 3,
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): SILENT_S * 1000,
}


class WatchedConnection(asyncpg.Connection):
    """For ``asyncpg.connect(connection_class=…)``."""

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        end_when_silent(transport)


def end_when_silent(transport: Any) -> None:
    """Set the options of ``transport``'s socket, as far as this system has them. A Unix socket needs none."""
    given = transport.get_extra_info("socket")
    if given is None or given.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # uvloop shows a stand-in without setsockopt(); the options are the open file's, whoever sets them.
    with socket.socket(fileno=os.dup(given.fileno())) as one:
        for (level, name), value in KEEP_ALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                one.setsockopt(level, option, value)
