"""Find free ports on the loopback address."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the ephemeral ports (from 32768 on Linux). While a server restarts, an outgoing connection could get its port if
# it were ephemeral; a client could even connect to itself.
PICKED_FROM = range(15_000, 32_000)

_picked: set[int] = set()


def free_port(*wishes: int | None) -> int:
    """Return the first free port of ``wishes``, else a random free port. A process gets each random port only once."""
    for wish in wishes:
        if wish is not None and is_free(wish):
            return wish
    for port in random.sample(PICKED_FROM, len(PICKED_FROM)):
        if port not in _picked and is_free(port):
            _picked.add(port)
            return port
    raise OSError(f"every port from {PICKED_FROM.start} to {PICKED_FROM.stop - 1} is taken")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
