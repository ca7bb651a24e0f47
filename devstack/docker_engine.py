"""Whether Docker answers on this machine."""

import os
from pathlib import Path

DEFAULT_SOCKET = Path("/var/run/docker.sock")
API_VERSION = "1.44"


def docker_answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not DEFAULT_SOCKET.exists():
        return False
    import docker
    from docker.errors import DockerException

    try:
        # A version given up front: asking the server for it would leave a socket open when there is none.
        client = docker.from_env(version=API_VERSION, timeout=2)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False
