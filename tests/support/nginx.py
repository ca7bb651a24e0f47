"""Run the shipped gateway configuration in a real nginx on loopback."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process

GATEWAY = Path(__file__).parents[2] / "deploy" / "gateway"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

# An address at which nothing listens.
NOBODY = f"{LOOPBACK}:9"

needs_nginx = pytest.mark.skipif(NGINX is None, reason="NOT TESTED: there is no nginx here; `make tools` installs it")


def rendered(folder: Path, port: int, upstreams: list[str], frontend: Path, console: str = NOBODY) -> Path:
    """Write nginx.conf with the filled-in template, like the official image, and return its path.

    All paths in the configuration are below ``folder``.
    """
    values = {
        "GATEWAY_PORT": f"{LOOPBACK}:{port}",
        "GATEWAY_API": " ".join(f"server {address};" for address in upstreams),
        "GATEWAY_CONSOLE": f"server {console};",
        "GATEWAY_RESOLVER": "",
        "GATEWAY_REAL_IP": "",
        "GATEWAY_STORAGE": f"http://{LOOPBACK}:9",
        "GATEWAY_FRONTEND": str(frontend),
    }
    template = (GATEWAY / "templates" / "placewire.conf.template").read_text()
    (folder / "conf.d").mkdir()
    site = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], template)
    (folder / "conf.d" / "placewire.conf").write_text(site)
    main = (GATEWAY / "nginx.conf").read_text()
    moved = main.replace("/tmp/", f"{folder}/").replace("/etc/nginx/conf.d", f"{folder}/conf.d")
    path = folder / "nginx.conf"
    path.write_text(moved)
    return path


@contextmanager
def gateway(
    folder: Path,
    *upstreams: str,
    frontend: Path = GATEWAY / "html",
    launcher: Sequence[str] = (),
    console: str = NOBODY,
) -> Iterator[str]:
    """Yield the address of a gateway. ``upstreams``: host:port of each replica of the API.

    ``console``: host:port of the console. ``launcher``: a command that starts nginx.
    """
    assert NGINX is not None
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    conf = rendered(folder, port, list(upstreams), frontend, console)
    # When root starts nginx, its workers run as a user that may not read a test's folder.
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    url = f"http://{LOOPBACK}:{port}"
    process = Process.start(
        "nginx",
        [*launcher, NGINX, "-e", "stderr", "-p", str(folder), "-c", str(conf), "-g", directives],
        log=folder / "nginx.log",
        url=f"{url}/gateway",
    )
    try:
        process.wait_ready()
        yield url
    finally:
        process.stop()
