"""Start our processes as forks of a server process that has imported everything. Each start saves 2 s of CPU time.

``python -m tests.support.fork_server`` is this server process. It reads one request from each line of its input, and
ends when the input ends.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

import psutil

from devstack.processes import Process
from tests.support.leftovers import forks_for_tests

ROOT = Path(__file__).resolve().parents[2]
# The modules that our processes import. Modules that are run with ``-m`` must not be imported before.
IMPORTED = (
    "chassis.messaging.relay",
    "services.api.main",
    "services.console.main",
    "services.eligibility.main",
    "services.exporter.main",
    "services.maintenance.main",
)


class ForkServer:
    def __init__(self) -> None:
        # Several threads may start processes. The lock gives each thread the response to its own request.
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            # Without PYTHONDONTWRITEBYTECODE, which many images set, because Python would compile every library again.
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            start_new_session=True,
        )
        forks_for_tests(psutil.Process(self._server.pid))
        atexit.register(self.close)

    def start(self, name: str, module: str, *, log: Path, env: Mapping[str, str], url: str) -> Process:
        """Start ``python -m module`` in a new session, like ``Process.start``. The output goes to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        pid = int(self._request({"module": module, "log": str(log), "env": dict(env)}))
        return Process(name, pid, psutil.Process(pid).create_time(), str(log), url)

    def close(self) -> None:
        """Stop the server, but not the processes that it has started. Idempotent."""
        with self._pipe(self._server.stdin), self._pipe(self._server.stdout):
            pass
        self._server.wait()

    def _request(self, request: dict[str, object]) -> bytes:
        with self._lock:
            try:
                requests = self._pipe(self._server.stdin)
                requests.write(json.dumps(request).encode() + b"\n")
                requests.flush()
                return self._pipe(self._server.stdout).readline()
            except BaseException:  # for example a timeout of the test: the next test must not read this response
                fork_server.cache_clear()
                atexit.unregister(self.close)
                self._server.kill()
                raise

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


@cache
def fork_server() -> ForkServer:
    """Return the fork server of this process. The first call starts it. It ends with this process."""
    return ForkServer()


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # otherwise garbage collection in each fork copies the memory of these objects
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that end leave no zombies
    while request := os.read(0, 1 << 20):
        while not request.endswith(b"\n"):
            request += os.read(0, 1 << 20)
        if (pid := os.fork()) == 0:
            _become(**json.loads(request))
            return
        os.write(1, b"%d\n" % pid)


def _become(module: str, log: str, env: dict[str, str]) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)):
        opened = os.open(path, flags, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
