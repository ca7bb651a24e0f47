"""Start our processes as forks of one that has imported everything: two seconds of CPU less for each.

Run as a program (``python -m tests.support.fork_server``) it is that one: it reads a request from each line of its
input, and ends with its input.
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
# What the processes import; not the modules that are run themselves.
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
        # Several threads may start processes: each waits for its own answer.
        self._asking = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            # Without PYTHONDONTWRITEBYTECODE, which many images set: it would compile every library each time.
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            start_new_session=True,
        )
        forks_for_tests(psutil.Process(self._server.pid))
        atexit.register(self.close)

    def start(self, name: str, module: str, *, log: Path, env: Mapping[str, str], url: str) -> Process:
        """Start ``python -m module`` in a session of its own, as ``Process.start`` does. Output goes to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        pid = int(self._ask({"module": module, "log": str(log), "env": dict(env)}))
        return Process(name, pid, psutil.Process(pid).create_time(), str(log), url)

    def close(self) -> None:
        """End the server, not what it has started. Idempotent."""
        with self._pipe(self._server.stdin), self._pipe(self._server.stdout):
            pass
        self._server.wait()

    def _ask(self, request: dict[str, object]) -> bytes:
        with self._asking:
            try:
                requests = self._pipe(self._server.stdin)
                requests.write(json.dumps(request).encode() + b"\n")
                requests.flush()
                return self._pipe(self._server.stdout).readline()
            except BaseException:  # the test ran out of time: the next one must not read this answer
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
    """Return that of this process, started when first asked for. It ends with this process."""
    return ForkServer()


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each fork copies these objects when it collects garbage
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: nobody asks how one of them ended
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
