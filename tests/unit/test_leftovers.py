"""A test that leaves a thread, process, connection or task behind fails, instead of a later test."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

LEAVES = """
import asyncio, socket, subprocess, sys, threading

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait, daemon=True, name="forgotten").start()

def test_leaves_a_process():
    global process
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

def test_leaves_a_connection():
    global server, client, accepted
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()

async def test_leaves_a_task():
    global task
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
"""
LEAVES_NOTHING = """
import _thread, asyncio, socket, subprocess, sys, threading

async def test_uses_a_thread_of_the_loop():
    await asyncio.to_thread(len, "")

async def test_ends_its_task_late():
    asyncio.get_running_loop().call_later(0.3, asyncio.create_task(asyncio.Event().wait()).cancel)

def test_ends_its_process():
    with subprocess.Popen([sys.executable, "-c", ""]):
        pass

def test_is_called_by_a_thread_of_another_language():
    ended = threading.Event()
    def call_python():
        threading.current_thread()
        ended.set()
    _thread.start_new_thread(call_python, ())
    ended.wait()

def test_closes_its_connection():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()
"""
# Disable plugins that these tests do not need: they take time to load.
WITHOUT_PLUGINS = tuple(
    word for name in ("xdist", "cacheprovider", "schemathesis", "hypothesispytest") for word in ("-p", f"no:{name}")
)
CONFTEST = """
from tests.support import leftovers
from tests.support.leftovers import in_the_loop, no_tasks_left, nothing_left

GRACE_S = leftovers.GRACE_S

def pytest_runtest_setup(item):
    # Leftovers of test_leaves never end by themselves, so a short wait is enough.
    leftovers.GRACE_S = 0.5 if item.path.stem == "test_leaves" else GRACE_S
"""


def test_a_test_that_leaves_something_fails_and_one_that_leaves_nothing_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run both in another session of pytest, with the guards of this session."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nmarkers = restarts_servers\n")
    pytester.makepyfile(test_leaves=LEAVES, test_leaves_nothing=LEAVES_NOTHING)
    result = pytester.runpytest_subprocess(*WITHOUT_PLUGINS)
    result.assert_outcomes(passed=9, errors=4)
    result.stdout.fnmatch_lines_random([
        "*Failed: this test leaves behind *the thread forgotten*",
        "*Failed: this test leaves behind *the process *input()*",
        "*Failed: this test leaves behind *a connection: *ESTABLISHED*",
        "*Failed: this test leaves behind *the task forgotten*",
    ])  # fmt: skip
