"""Check whether Docker answers on this machine."""

import os
import socket
from contextlib import closing
from pathlib import Path

DEFAULT_SOCKET = Path("/var/run/docker.sock")
TIMEOUT_S = 2
# Not sent to Docker. Without a version, the client would request it at once, and leave its socket open on an error.
ANY_VERSION = "1.44"


def docker_answers() -> bool:
    """Return whether the server at DOCKER_HOST, or at the default socket, answers. Any version is accepted."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
    if host.startswith("unix://") and not _accepts(host.removeprefix("unix://")):
        return False
    import docker
    from docker.errors import DockerException

    try:
        with closing(docker.from_env(version=ANY_VERSION, timeout=TIMEOUT_S)) as client:
            return bool(client.version(api_version=False)["ApiVersion"])
    except (DockerException, OSError, KeyError, ValueError):
        return False


def _accepts(path: str) -> bool:
    """Return whether a server listens on the Unix socket. Without one, Docker's client would leave its socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(TIMEOUT_S)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
